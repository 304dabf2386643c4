-- Customers' people: which customer they are of, and which of its sites they see.
CREATE TABLE customer_users (
    user_name TEXT PRIMARY KEY REFERENCES users(name),
    customer TEXT NOT NULL,
    sites TEXT NOT NULL,                  -- JSON list; empty: all sites of the customer
    bound_at BIGINT NOT NULL, bound_by TEXT NOT NULL
);
CREATE INDEX customer_users_customer ON customer_users(customer);
CREATE INDEX tickets_customer ON tickets(customer, ordinal);
