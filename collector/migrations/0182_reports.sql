-- Reports go through tickets by the time of their opening.
CREATE INDEX tickets_opened ON tickets(opened_at, ordinal);
