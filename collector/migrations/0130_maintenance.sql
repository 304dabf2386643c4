-- Windows of maintenance that people at the centre set. Agents hold back what is raised in them.
CREATE TABLE maintenance (
    id TEXT PRIMARY KEY,
    scope TEXT NOT NULL,                  -- agent | site | devices
    agent_id TEXT,                        -- of scope agent
    site TEXT,                            -- of scope site
    starts_at BIGINT NOT NULL,
    ends_at BIGINT NOT NULL,
    reason TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    ended_by TEXT,
    ended_at BIGINT                       -- before its time
);
CREATE INDEX maintenance_ends ON maintenance(ends_at);
-- Its devices, of scope devices; named as their agent tells them.
CREATE TABLE maintenance_devices (
    maintenance_id TEXT NOT NULL REFERENCES maintenance(id),
    agent_id TEXT NOT NULL, device_id TEXT NOT NULL, name TEXT NOT NULL,
    PRIMARY KEY (maintenance_id, agent_id, device_id)
);
