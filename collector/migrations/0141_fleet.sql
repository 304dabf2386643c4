-- The same fault on many sites in a short time.
CREATE TABLE fleet_problems (
    id TEXT PRIMARY KEY,                  -- hash of type, rule and model
    kind TEXT NOT NULL, rule TEXT NOT NULL, model TEXT NOT NULL,
    first_at BIGINT NOT NULL, last_at BIGINT NOT NULL,
    sites BIGINT NOT NULL                 -- the most at a time
);
CREATE TABLE fleet_tickets (
    problem TEXT NOT NULL REFERENCES fleet_problems(id),
    ticket_id TEXT NOT NULL REFERENCES tickets(id),
    at BIGINT NOT NULL,
    PRIMARY KEY (problem, ticket_id)
);
CREATE INDEX fleet_tickets_ticket ON fleet_tickets(ticket_id);
CREATE INDEX alarms_kind ON alarms(kind, raised_at);
