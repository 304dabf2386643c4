-- One schema for SQLite and PostgreSQL: TEXT ids made by the application, BIGINT times in
-- milliseconds since 1970 (UTC), BIGINT booleans (0/1), JSON as TEXT.

CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);

-- Trust ---------------------------------------------------------------------------------------
CREATE TABLE agents (
    id TEXT PRIMARY KEY,
    site TEXT, customer TEXT,
    created_at BIGINT NOT NULL,
    revoked_at BIGINT,
    online BIGINT NOT NULL DEFAULT 0,
    last_seen_at BIGINT,
    heartbeat TEXT,                       -- newest heartbeat, JSON
    version TEXT
);
CREATE TABLE enrol_tokens (
    id TEXT PRIMARY KEY,
    agent_id TEXT NOT NULL REFERENCES agents(id),
    secret_hash TEXT NOT NULL UNIQUE,     -- SHA-256 hex of the secret
    created_at BIGINT NOT NULL, created_by TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT
);
CREATE TABLE certificates (
    serial TEXT PRIMARY KEY,              -- hex
    agent_id TEXT NOT NULL REFERENCES agents(id),
    fingerprint TEXT NOT NULL,
    issued_at BIGINT NOT NULL, not_after BIGINT NOT NULL,
    revoked_at BIGINT
);
CREATE INDEX certificates_agent ON certificates(agent_id);

-- Delivery ------------------------------------------------------------------------------------
CREATE TABLE streams (                    -- one per agent, outbox life and lane
    agent_id TEXT NOT NULL, epoch TEXT NOT NULL, lane TEXT NOT NULL,
    acked_seq BIGINT NOT NULL,            -- highest contiguous committed
    highest_seq BIGINT NOT NULL,          -- highest committed; above acked_seq: there is a gap
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (agent_id, epoch, lane)
);
CREATE INDEX streams_epoch ON streams(epoch);
CREATE TABLE passed_ranges (              -- numbers an agent gave up, declared as lost
    agent_id TEXT NOT NULL, epoch TEXT NOT NULL, lane TEXT NOT NULL,
    first_seq BIGINT NOT NULL, last_seq BIGINT NOT NULL,
    PRIMARY KEY (agent_id, epoch, lane, first_seq)
);
CREATE TABLE envelopes (                  -- the deduplication rows
    agent_id TEXT NOT NULL, epoch TEXT NOT NULL, lane TEXT NOT NULL, seq BIGINT NOT NULL,
    id TEXT NOT NULL, kind TEXT NOT NULL,
    outcome TEXT NOT NULL,                -- 'applied' | 'rejected' | 'repeated' (applied in another epoch)
    reason TEXT, reason_text TEXT,        -- of a rejected one: answered again when it is sent again
    received_at BIGINT NOT NULL,
    PRIMARY KEY (agent_id, epoch, lane, seq)
);
CREATE INDEX envelopes_id ON envelopes(id);
CREATE INDEX envelopes_received ON envelopes(received_at);
CREATE TABLE rejects (
    id TEXT PRIMARY KEY,
    agent_id TEXT NOT NULL, epoch TEXT, lane TEXT, seq BIGINT, envelope_id TEXT,
    reason TEXT NOT NULL, text TEXT NOT NULL,
    payload TEXT,                         -- cut to 4 KiB
    received_at BIGINT NOT NULL
);
CREATE INDEX rejects_agent ON rejects(agent_id, received_at);
CREATE TABLE losses (
    id TEXT PRIMARY KEY,                  -- the envelope's id
    agent_id TEXT NOT NULL, source TEXT NOT NULL,
    from_at BIGINT NOT NULL, to_at BIGINT NOT NULL,
    reason TEXT NOT NULL, count BIGINT,
    received_at BIGINT NOT NULL
);
CREATE INDEX losses_agent ON losses(agent_id, from_at);

-- Faults --------------------------------------------------------------------------------------
CREATE TABLE devices (
    agent_id TEXT NOT NULL, id TEXT NOT NULL,
    name TEXT NOT NULL, serial TEXT, vendor TEXT, model TEXT, firmware TEXT,
    site TEXT, customer TEXT, contract TEXT, parent TEXT,
    first_seen_at BIGINT NOT NULL, last_seen_at BIGINT NOT NULL,
    PRIMARY KEY (agent_id, id)
);
CREATE TABLE alarms (
    alarm_id TEXT PRIMARY KEY,
    agent_id TEXT NOT NULL, device_id TEXT NOT NULL,
    identity TEXT NOT NULL,               -- agent id and the identity's key, hashed (hex)
    resource TEXT NOT NULL, kind TEXT NOT NULL, qualifier TEXT NOT NULL,
    severity TEXT NOT NULL,
    active BIGINT NOT NULL,
    fault_code TEXT, message TEXT NOT NULL, text TEXT NOT NULL, rule TEXT NOT NULL,
    proposed_repair TEXT,
    raised_at BIGINT NOT NULL,            -- observed_at of the raise
    changed_at BIGINT NOT NULL,
    cleared_at BIGINT,
    test BIGINT NOT NULL DEFAULT 0, flapping BIGINT NOT NULL DEFAULT 0,
    -- Which envelope its present state is from: an older one that comes later changes nothing.
    last_epoch TEXT NOT NULL, last_seq BIGINT NOT NULL, last_at BIGINT NOT NULL
);
CREATE INDEX alarms_identity ON alarms(identity, active);
CREATE INDEX alarms_active ON alarms(active, raised_at, alarm_id);
CREATE INDEX alarms_raised ON alarms(raised_at, alarm_id);
CREATE INDEX alarms_agent ON alarms(agent_id, active, device_id);
CREATE TABLE evidence (
    id TEXT PRIMARY KEY,                  -- envelope's id and the item's place in it
    agent_id TEXT NOT NULL,
    alarm_id TEXT NOT NULL,               -- may come before its alarm does
    kind TEXT NOT NULL, origin TEXT NOT NULL, at BIGINT NOT NULL,
    text TEXT NOT NULL, truncated BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX evidence_alarm ON evidence(alarm_id, at);

-- Cases and tickets ---------------------------------------------------------------------------
CREATE TABLE tickets (
    id TEXT PRIMARY KEY,
    ordinal BIGINT NOT NULL UNIQUE,       -- 123: order and paging
    number TEXT NOT NULL UNIQUE,          -- what people write: T-000123
    state TEXT NOT NULL,                  -- see ticket::State
    priority TEXT NOT NULL,               -- p1 … p4
    severity TEXT NOT NULL,               -- worst severity of its alarms so far
    title TEXT NOT NULL,                  -- the alarm's message, JSON
    text TEXT NOT NULL,                   -- the device's words
    agent_id TEXT NOT NULL, device_id TEXT NOT NULL, device_name TEXT NOT NULL,
    resource TEXT NOT NULL, kind TEXT NOT NULL,
    site TEXT, customer TEXT, contract TEXT,
    fault_code TEXT, proposed_repair TEXT,
    assignee TEXT,
    opened_at BIGINT NOT NULL, updated_at BIGINT NOT NULL,
    condition_cleared_at BIGINT,          -- all its alarms are cleared since then
    resolved_at BIGINT, closed_at BIGINT,
    recurrences BIGINT NOT NULL DEFAULT 0,
    test BIGINT NOT NULL DEFAULT 0,
    version BIGINT NOT NULL               -- +1 per change; optimistic locking
);
CREATE INDEX tickets_state ON tickets(state, ordinal);
CREATE INDEX tickets_updated ON tickets(updated_at);
CREATE TABLE ticket_number (only_row BIGINT PRIMARY KEY, last BIGINT NOT NULL);
INSERT INTO ticket_number (only_row, last) VALUES (1, 0);
CREATE TABLE cases (
    id TEXT PRIMARY KEY,
    identity TEXT NOT NULL,               -- as in alarms
    ticket_id TEXT NOT NULL REFERENCES tickets(id),
    opened_at BIGINT NOT NULL,
    closed_at BIGINT                      -- when its ticket was closed
);
CREATE INDEX cases_ticket ON cases(ticket_id);
CREATE UNIQUE INDEX cases_open ON cases(identity) WHERE closed_at IS NULL;
CREATE TABLE case_alarms (                -- every alarm life in exactly one case
    alarm_id TEXT PRIMARY KEY REFERENCES alarms(alarm_id),
    case_id TEXT NOT NULL REFERENCES cases(id),
    role TEXT NOT NULL,                   -- 'cause' | 'consequence'
    attached_at BIGINT NOT NULL
);
CREATE INDEX case_alarms_case ON case_alarms(case_id);
CREATE TABLE ticket_events (              -- the timeline; never rewritten
    id TEXT PRIMARY KEY, ticket_id TEXT NOT NULL REFERENCES tickets(id),
    at BIGINT NOT NULL,
    who TEXT NOT NULL,                    -- 'agent:<id>' | 'user:<name>' | 'collector'
    what TEXT NOT NULL,                   -- opened | recurred | severity | cleared | raised-again | state | comment | assigned
    detail TEXT NOT NULL                  -- JSON
);
CREATE INDEX ticket_events_ticket ON ticket_events(ticket_id, at);

-- People --------------------------------------------------------------------------------------
CREATE TABLE users (
    name TEXT PRIMARY KEY, display_name TEXT NOT NULL, role TEXT NOT NULL,
    password_hash TEXT NOT NULL, must_change BIGINT NOT NULL DEFAULT 0,
    language TEXT NOT NULL DEFAULT 'zh-CN',
    created_at BIGINT NOT NULL, disabled_at BIGINT
);
CREATE TABLE web_sessions (
    id_hash TEXT PRIMARY KEY,             -- SHA-256 hex of the cookie's value
    user_name TEXT NOT NULL REFERENCES users(name),
    csrf TEXT NOT NULL,
    created_at BIGINT NOT NULL, expires_at BIGINT NOT NULL, last_used_at BIGINT NOT NULL
);
