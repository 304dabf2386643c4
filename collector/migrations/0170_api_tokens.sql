-- Tokens with which programs ask the API. Only a hash of the secret is kept.
CREATE TABLE api_tokens (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    secret_hash TEXT NOT NULL UNIQUE,     -- SHA-256 hex of the secret
    scopes TEXT NOT NULL,                 -- words, one space between two
    owner TEXT NOT NULL REFERENCES users(name),
    sites TEXT NOT NULL,                  -- JSON list; empty: not limited to sites
    created_at BIGINT NOT NULL, created_by TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    last_used_at BIGINT,
    revoked_at BIGINT, revoked_by TEXT
);
CREATE INDEX api_tokens_created ON api_tokens(created_at);
