-- What people and receivers are told: written with what it tells, delivered later.

CREATE TABLE notices (
    id TEXT PRIMARY KEY,
    ticket_id TEXT NOT NULL,              -- empty: of no ticket (a test)
    entry_id TEXT NOT NULL,               -- the timeline's entry that it tells
    event TEXT NOT NULL,
    urgent BIGINT NOT NULL,               -- of a P1 or a major incident: goes first
    lane TEXT NOT NULL,                   -- mail | outlet:<name>
    recipient TEXT NOT NULL,              -- a person's log-in name, or the outlet's name
    language TEXT NOT NULL,
    facts TEXT NOT NULL,                  -- JSON: notice::Facts
    state TEXT NOT NULL,                  -- waiting | sent | folded | failed | dropped
    created_at BIGINT NOT NULL,
    next_at BIGINT NOT NULL,              -- while it waits: when it is due, or its sender's claim ends
    attempts BIGINT NOT NULL DEFAULT 0,
    done_at BIGINT,
    result TEXT NOT NULL DEFAULT ''       -- of the last attempt
);
CREATE UNIQUE INDEX notices_once ON notices(entry_id, event, lane, recipient);
CREATE INDEX notices_due ON notices(lane, next_at) WHERE state = 'waiting';
CREATE INDEX notices_ticket ON notices(ticket_id, created_at);
CREATE INDEX notices_created ON notices(created_at, id);
CREATE TABLE notice_attempts (            -- never rewritten
    notice_id TEXT NOT NULL REFERENCES notices(id),
    number BIGINT NOT NULL,
    at BIGINT NOT NULL,
    ok BIGINT NOT NULL,
    result TEXT NOT NULL,
    PRIMARY KEY (notice_id, number)
);
