-- The proven path. A probe becomes a shadow ticket: it goes through the same tables as a fault, apart
-- from all lists and counts. Its ticket has an ordinal below zero and a number of its own (P-000123).

ALTER TABLE alarms ADD COLUMN shadow BIGINT NOT NULL DEFAULT 0;
ALTER TABLE tickets ADD COLUMN shadow BIGINT NOT NULL DEFAULT 0;
INSERT INTO ticket_number (only_row, last) VALUES (2, 0);

CREATE TABLE probes (
    alarm_id TEXT PRIMARY KEY REFERENCES alarms(alarm_id),
    agent_id TEXT NOT NULL, source TEXT NOT NULL, kind TEXT NOT NULL,
    started_at BIGINT NOT NULL,           -- by the agent's clock
    proven_at BIGINT NOT NULL,            -- when it was committed, by the collector's
    interval_s BIGINT NOT NULL,
    ticket TEXT NOT NULL                  -- the shadow ticket's number
);
CREATE INDEX probes_path ON probes(agent_id, source, proven_at, alarm_id);
