-- Evidence bundles: files that agents upload for a ticket. The bytes are files beside the database;
-- how far an open upload is, its file knows.

CREATE TABLE bundles (
    id TEXT PRIMARY KEY,                  -- made by the agent
    agent_id TEXT NOT NULL,
    ticket_id TEXT NOT NULL REFERENCES tickets(id),
    alarm_id TEXT,                        -- the alarm life that it is about, if one was named
    name TEXT NOT NULL, size BIGINT NOT NULL, sha256 TEXT NOT NULL,
    declaration TEXT NOT NULL,            -- as the agent declared it, JSON
    state TEXT NOT NULL,                  -- open | complete | refused | removed (its time was over)
    reason TEXT,                          -- of a refused one
    weight BIGINT NOT NULL,               -- what it counts in the quotas, bytes
    received BIGINT NOT NULL DEFAULT 0,   -- bytes kept, as last noted: for people
    mismatches BIGINT NOT NULL DEFAULT 0, -- how often the whole SHA-256 was another one
    missing BIGINT NOT NULL DEFAULT 0,    -- 1: complete, but its file is not there or has another size
    collector TEXT NOT NULL,              -- the collector that keeps the file
    declared_at BIGINT NOT NULL,
    active_at BIGINT NOT NULL,            -- the last sign of its upload
    completed_at BIGINT,
    told_at BIGINT,                       -- when the agent's envelope named it
    removed_at BIGINT
);
CREATE INDEX bundles_ticket ON bundles(ticket_id, declared_at);
CREATE INDEX bundles_agent ON bundles(agent_id, state);
CREATE INDEX bundles_state ON bundles(state, active_at, id);

-- Locked by whoever declares: two collectors must not both take the last room.
CREATE TABLE bundle_room (only_row BIGINT PRIMARY KEY, taken BIGINT NOT NULL);
INSERT INTO bundle_room (only_row, taken) VALUES (1, 0);
