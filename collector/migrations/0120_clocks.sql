-- Service plans, business calendars, and the clocks of tickets.

-- Every change of a plan or a calendar is another version: what was promised stays readable.
CREATE TABLE plans (
    name TEXT NOT NULL, version BIGINT NOT NULL,
    body TEXT NOT NULL,                   -- JSON
    preset BIGINT NOT NULL DEFAULT 0,     -- as it came with the program
    created_at BIGINT NOT NULL, created_by TEXT NOT NULL,
    deleted_at BIGINT,                    -- of the newest version: nobody may choose it any more
    PRIMARY KEY (name, version)
);
CREATE TABLE calendars (
    name TEXT NOT NULL, version BIGINT NOT NULL,
    body TEXT NOT NULL,
    preset BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL, created_by TEXT NOT NULL,
    deleted_at BIGINT,
    PRIMARY KEY (name, version)
);
-- What a ticket is promised, and what of it the clocks know. Tickets opened before have none.
CREATE TABLE ticket_plans (
    ticket_id TEXT PRIMARY KEY REFERENCES tickets(id),
    plan TEXT NOT NULL, plan_version BIGINT NOT NULL,
    calendar TEXT,
    time_zone TEXT NOT NULL,
    state TEXT NOT NULL, priority TEXT NOT NULL,
    due_at BIGINT,                        -- the earliest end among its clocks that run
    due_clock TEXT
);
CREATE INDEX ticket_plans_due ON ticket_plans(due_at, ticket_id);
CREATE INDEX ticket_plans_calendar ON ticket_plans(calendar);
CREATE TABLE clocks (
    id TEXT PRIMARY KEY,
    ticket_id TEXT NOT NULL REFERENCES tickets(id),
    name TEXT NOT NULL,                   -- which limit: respond, restore, …
    state TEXT NOT NULL,                  -- running | paused | stopped | dropped
    started_at BIGINT NOT NULL,
    budget_ms BIGINT NOT NULL,            -- how much may count; -1: no end
    elapsed_ms BIGINT NOT NULL,           -- how much had counted when it last changed
    due_at BIGINT,                        -- while it runs
    next_at BIGINT,                       -- when somebody is told next
    stopped_at BIGINT,
    verdict TEXT,                         -- kept | missed
    events BIGINT NOT NULL                -- +1 per event; optimistic locking
);
CREATE UNIQUE INDEX clocks_ticket ON clocks(ticket_id, name);
CREATE INDEX clocks_next ON clocks(next_at);
CREATE TABLE clock_events (               -- never rewritten
    clock_id TEXT NOT NULL REFERENCES clocks(id),
    number BIGINT NOT NULL,
    at BIGINT NOT NULL, who TEXT NOT NULL,
    body TEXT NOT NULL,                   -- JSON: clock::What
    PRIMARY KEY (clock_id, number)
);
CREATE TABLE clock_steps (                -- each once, however many collectors look
    clock_id TEXT NOT NULL REFERENCES clocks(id),
    step TEXT NOT NULL,
    due_at BIGINT NOT NULL, fired_at BIGINT NOT NULL,
    PRIMARY KEY (clock_id, step)
);
