-- What agents are asked to do, whole alarm sets that are on their way, agents that have fallen silent.

ALTER TABLE alarms ADD COLUMN own BIGINT NOT NULL DEFAULT 0;  -- raised by the collector itself

CREATE TABLE controls (                   -- what an agent is asked, until it is done
    id TEXT PRIMARY KEY,
    agent_id TEXT NOT NULL REFERENCES agents(id),
    kind TEXT NOT NULL,                   -- 'resync'
    reason TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    sent_at BIGINT NOT NULL, sends BIGINT NOT NULL,
    done_at BIGINT
);
CREATE UNIQUE INDEX controls_open ON controls(agent_id, kind) WHERE done_at IS NULL;
CREATE INDEX controls_done ON controls(done_at);
CREATE TABLE resyncs (                    -- how often the sets differed
    agent_id TEXT PRIMARY KEY REFERENCES agents(id),
    in_a_row BIGINT NOT NULL,             -- snapshots applied after which they have not been equal
    not_before BIGINT NOT NULL,           -- the agent is not asked again before
    applied BIGINT NOT NULL, applied_at BIGINT NOT NULL,
    raised BIGINT NOT NULL, changed BIGINT NOT NULL, cleared BIGINT NOT NULL
);
CREATE TABLE resync_pages (               -- pages of a snapshot that is not whole yet: one per agent
    agent_id TEXT NOT NULL, page BIGINT NOT NULL,
    snapshot TEXT NOT NULL, pages BIGINT NOT NULL,
    epoch TEXT NOT NULL, seq BIGINT NOT NULL,
    payload TEXT NOT NULL,
    received_at BIGINT NOT NULL,
    PRIMARY KEY (agent_id, page)
);
CREATE TABLE presence (
    agent_id TEXT PRIMARY KEY REFERENCES agents(id),
    interval_s BIGINT NOT NULL,           -- between the agent's heartbeats
    reconnect_s BIGINT NOT NULL,          -- its longest wait between two attempts to connect
    departed TEXT, departed_at BIGINT,    -- how it left: 'stopped' (said so) | 'lost' (last will)
    silent_alarm TEXT                     -- the alarm life of its present silence
);
