-- What devices are and what they are made of, as their agents tell it, and what changed of it.
CREATE TABLE inventories (
    agent_id TEXT NOT NULL, device_id TEXT NOT NULL,
    digest TEXT NOT NULL,                 -- SHA-256 (hex) of what was told last
    read_by TEXT NOT NULL,                -- kind of the source, or 'configuration'
    serial TEXT, vendor TEXT, model TEXT, firmware TEXT, -- as told last
    sysobjectid TEXT, profiles TEXT NOT NULL, -- JSON
    modules BIGINT,                       -- how many are kept; NULL: never told
    left_out BIGINT NOT NULL,
    read_at BIGINT NOT NULL,              -- by the agent's clock
    told_at BIGINT NOT NULL,              -- when it came in last
    changed_at BIGINT NOT NULL,           -- when it last said something new
    -- Which envelope it is from: an older one that comes later changes nothing.
    last_epoch TEXT NOT NULL, last_seq BIGINT NOT NULL, last_at BIGINT NOT NULL,
    PRIMARY KEY (agent_id, device_id)
);
CREATE TABLE modules (
    agent_id TEXT NOT NULL, device_id TEXT NOT NULL, place BIGINT NOT NULL,
    number BIGINT NOT NULL,               -- entPhysicalIndex
    inside BIGINT,
    class TEXT NOT NULL, name TEXT NOT NULL,
    description TEXT, model TEXT, serial TEXT, hardware TEXT, firmware TEXT, software TEXT,
    since BIGINT NOT NULL,                -- when it was told first
    PRIMARY KEY (agent_id, device_id, place)
);
CREATE INDEX modules_serial ON modules(serial);
CREATE TABLE module_changes (
    id TEXT PRIMARY KEY,
    agent_id TEXT NOT NULL, device_id TEXT NOT NULL,
    at BIGINT NOT NULL,                   -- when it was read, by the agent's clock
    what TEXT NOT NULL,                   -- appeared | vanished | serial | moved | model | hardware | firmware | software
    class TEXT NOT NULL, name TEXT NOT NULL,
    was TEXT, now TEXT
);
CREATE INDEX module_changes_device ON module_changes(agent_id, device_id, at);
ALTER TABLE installed ADD COLUMN firmware TEXT NOT NULL DEFAULT '';
