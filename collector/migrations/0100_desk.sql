-- What the console looks up in the record of everything that touches trust.
CREATE INDEX audit_who ON audit(who, seq);
CREATE INDEX audit_what ON audit(what, seq);

-- The last whole alarm sets of each agent: why asked, when answered, what they changed.
CREATE TABLE resync_history (
    id TEXT PRIMARY KEY,                  -- the request's id; of a set that nobody asked for its envelope's
    agent_id TEXT NOT NULL,
    reason TEXT NOT NULL,                 -- a stable word
    asked_at BIGINT,                      -- when it was asked first; NULL: the agent told it unasked
    asked BIGINT NOT NULL,                -- how often it was asked
    answered_at BIGINT,                   -- when its last page was applied; NULL: not yet
    ended_at BIGINT,                      -- when it was of no use any more: the sets were equal again
    alarms BIGINT NOT NULL, raised BIGINT NOT NULL, changed BIGINT NOT NULL,
    cleared BIGINT NOT NULL, unchanged BIGINT NOT NULL, refused BIGINT NOT NULL,
    at BIGINT NOT NULL                    -- order: when it was asked or, unasked, applied
);
CREATE INDEX resync_history_agent ON resync_history(agent_id, at);
