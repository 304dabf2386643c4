-- Who is there: what is known of people beside their log-in, rosters, shifts, absence; who was called and answered.

CREATE TABLE people (                     -- of users; one without a row has no address and is everywhere
    name TEXT PRIMARY KEY REFERENCES users(name),
    mail TEXT NOT NULL, phone TEXT NOT NULL,
    skills TEXT NOT NULL, sites TEXT NOT NULL, customers TEXT NOT NULL, -- separated by ;
    choices TEXT NOT NULL,                -- JSON: what the person wants to be told, how, when not
    version BIGINT NOT NULL, updated_at BIGINT NOT NULL, updated_by TEXT NOT NULL
);
CREATE TABLE rosters (                    -- every change is another version, as of plans
    name TEXT NOT NULL, version BIGINT NOT NULL,
    body TEXT NOT NULL,                   -- JSON: roster::Roster
    preset BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL, created_by TEXT NOT NULL,
    deleted_at BIGINT,
    PRIMARY KEY (name, version)
);
CREATE TABLE published (                  -- until when a roster's shifts are fixed rows
    roster TEXT PRIMARY KEY,
    until_at BIGINT NOT NULL,
    at BIGINT NOT NULL, who TEXT NOT NULL
);
CREATE TABLE shifts (
    id TEXT PRIMARY KEY,
    roster TEXT NOT NULL, level TEXT NOT NULL, pattern TEXT NOT NULL,
    from_at BIGINT NOT NULL, to_at BIGINT NOT NULL,
    person TEXT NOT NULL,                 -- who has it now
    planned TEXT NOT NULL                 -- who had it when it was published
);
CREATE INDEX shifts_time ON shifts(to_at, from_at);
CREATE INDEX shifts_roster ON shifts(roster, from_at);
CREATE TABLE swaps (                      -- changes of published shifts; never rewritten
    id TEXT PRIMARY KEY,
    shift_id TEXT NOT NULL REFERENCES shifts(id),
    other_id TEXT,                        -- the shift that was given for it, if one was
    from_person TEXT NOT NULL, to_person TEXT NOT NULL,
    reason TEXT NOT NULL,
    at BIGINT NOT NULL, who TEXT NOT NULL
);
CREATE INDEX swaps_at ON swaps(at);
CREATE TABLE absences (
    id TEXT PRIMARY KEY,
    person TEXT NOT NULL REFERENCES users(name),
    from_at BIGINT NOT NULL, to_at BIGINT NOT NULL,
    reason TEXT NOT NULL,
    created_at BIGINT NOT NULL, created_by TEXT NOT NULL,
    ended_at BIGINT, ended_by TEXT        -- taken back
);
CREATE INDEX absences_to ON absences(to_at);
CREATE TABLE calls (                      -- somebody is asked to answer
    id TEXT PRIMARY KEY,
    ticket_id TEXT NOT NULL REFERENCES tickets(id),
    step TEXT NOT NULL,                   -- what led to it: each once
    round BIGINT NOT NULL,                -- 1: the first who was asked
    level TEXT NOT NULL,
    person TEXT NOT NULL,
    called_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    ended_at BIGINT,
    ended TEXT,                           -- answered | expired | over
    ended_by TEXT
);
CREATE UNIQUE INDEX calls_step ON calls(ticket_id, step, round);
CREATE INDEX calls_open ON calls(expires_at) WHERE ended_at IS NULL;
