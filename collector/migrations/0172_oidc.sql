-- Who a person of an identity provider is here. By issuer and subject alone: names and mail addresses change hands.
CREATE TABLE oidc_users (
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    user_name TEXT NOT NULL REFERENCES users(name),
    managed BIGINT NOT NULL,              -- 1: made at the first log-in, the role follows the provider; 0: linked by hand
    linked_at BIGINT NOT NULL,
    PRIMARY KEY (issuer, subject)
);
CREATE INDEX oidc_users_name ON oidc_users(user_name);
