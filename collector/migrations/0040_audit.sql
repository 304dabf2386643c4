-- Trust: what becomes of a certificate, and the record of everything that touches trust.
ALTER TABLE certificates ADD COLUMN issuer TEXT;            -- fingerprint of the CA that signed it
ALTER TABLE certificates ADD COLUMN first_used_at BIGINT;   -- first connection with it
ALTER TABLE certificates ADD COLUMN superseded_at BIGINT;   -- a newer one of the same agent was used
ALTER TABLE certificates ADD COLUMN quarantined_at BIGINT;  -- first let in after it had ended
ALTER TABLE agents ADD COLUMN roots TEXT;                   -- digest of the CA certificates it took last
ALTER TABLE agents ADD COLUMN roots_at BIGINT;

CREATE TABLE audit (                      -- append-only, hash-chained; see docs/trust.md
    seq BIGINT PRIMARY KEY,               -- 1, 2, 3, ...
    at BIGINT NOT NULL,
    who TEXT NOT NULL,                    -- 'cli:<user>' | 'user:<name>' | 'agent:<id>' | 'collector'
    what TEXT NOT NULL,                   -- a stable word
    subject TEXT NOT NULL,                -- what it was done to
    detail TEXT NOT NULL,                 -- canonical JSON
    previous TEXT NOT NULL,               -- hash of the row before
    hash TEXT NOT NULL
);
CREATE INDEX audit_subject ON audit(subject, seq);
CREATE TABLE audit_head (only_row BIGINT PRIMARY KEY, seq BIGINT NOT NULL, hash TEXT NOT NULL);
INSERT INTO audit_head (only_row, seq, hash) VALUES (1, 0, '0000000000000000000000000000000000000000000000000000000000000000');
