-- Views of the queue that people keep: what is asked for, in which order, which columns are shown.
CREATE TABLE saved_views (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,                  -- a user's name
    name TEXT NOT NULL,
    shared BIGINT NOT NULL,               -- everybody sees it
    query TEXT NOT NULL,                  -- as in the address of GET /api/v1/tickets
    columns TEXT NOT NULL,                -- names, separated by ,
    version BIGINT NOT NULL,
    updated_at BIGINT NOT NULL, updated_by TEXT NOT NULL
);
CREATE UNIQUE INDEX saved_views_name ON saved_views(owner, name);
CREATE INDEX saved_views_shared ON saved_views(shared);
