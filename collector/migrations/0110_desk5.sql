-- Whom the centre serves and what was promised: customers, sites, contacts, contracts, the installed base.
-- An empty text is "not known". `to_complete`: an agent named it, nobody has looked at it yet.

CREATE TABLE customers (
    id TEXT PRIMARY KEY,                  -- as agents' settings and people name it
    name TEXT NOT NULL DEFAULT '', note TEXT NOT NULL DEFAULT '',
    to_complete BIGINT NOT NULL DEFAULT 0,
    version BIGINT NOT NULL, updated_at BIGINT NOT NULL, updated_by TEXT NOT NULL
);
CREATE TABLE sites (
    id TEXT PRIMARY KEY,                  -- as agents' certificates and settings name it
    name TEXT NOT NULL DEFAULT '', customer TEXT NOT NULL DEFAULT '', address TEXT NOT NULL DEFAULT '',
    time_zone TEXT NOT NULL DEFAULT '',   -- IANA
    calendar TEXT NOT NULL DEFAULT '', note TEXT NOT NULL DEFAULT '',
    to_complete BIGINT NOT NULL DEFAULT 0,
    version BIGINT NOT NULL, updated_at BIGINT NOT NULL, updated_by TEXT NOT NULL
);
CREATE INDEX sites_customer ON sites(customer);
CREATE INDEX sites_to_complete ON sites(to_complete);
CREATE TABLE contacts (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL DEFAULT '', phone TEXT NOT NULL DEFAULT '', mail TEXT NOT NULL DEFAULT '',
    language TEXT NOT NULL DEFAULT '', customer TEXT NOT NULL DEFAULT '',
    sites TEXT NOT NULL DEFAULT '',       -- separated by ;
    note TEXT NOT NULL DEFAULT '',
    to_complete BIGINT NOT NULL DEFAULT 0,
    version BIGINT NOT NULL, updated_at BIGINT NOT NULL, updated_by TEXT NOT NULL
);
CREATE INDEX contacts_customer ON contacts(customer);
CREATE TABLE contracts (
    id TEXT PRIMARY KEY,                  -- the contract's number
    customer TEXT NOT NULL DEFAULT '', plan TEXT NOT NULL DEFAULT '', tier TEXT NOT NULL DEFAULT '',
    valid_from TEXT NOT NULL DEFAULT '', valid_until TEXT NOT NULL DEFAULT '', -- days, both inclusive
    covers TEXT NOT NULL DEFAULT '',      -- customer | sites | devices
    sites TEXT NOT NULL DEFAULT '', serials TEXT NOT NULL DEFAULT '', -- separated by ;
    note TEXT NOT NULL DEFAULT '',
    to_complete BIGINT NOT NULL DEFAULT 0,
    version BIGINT NOT NULL, updated_at BIGINT NOT NULL, updated_by TEXT NOT NULL
);
CREATE INDEX contracts_customer ON contracts(customer);
CREATE TABLE contract_cover (             -- what a contract covers, to be found from the other end
    what TEXT NOT NULL,                   -- customer | site | serial
    value TEXT NOT NULL,
    contract TEXT NOT NULL,
    PRIMARY KEY (what, value, contract)
);
CREATE INDEX contract_cover_contract ON contract_cover(contract);
CREATE TABLE contact_sites (              -- which sites a contact is of
    site TEXT NOT NULL, contact TEXT NOT NULL,
    PRIMARY KEY (site, contact)
);
CREATE INDEX contact_sites_contact ON contact_sites(contact);
CREATE TABLE installed (                  -- what people know of a device, by its serial number
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL DEFAULT '', vendor TEXT NOT NULL DEFAULT '', model TEXT NOT NULL DEFAULT '',
    site TEXT NOT NULL DEFAULT '', asset TEXT NOT NULL DEFAULT '', contract TEXT NOT NULL DEFAULT '',
    note TEXT NOT NULL DEFAULT '',
    to_complete BIGINT NOT NULL DEFAULT 0,
    version BIGINT NOT NULL, updated_at BIGINT NOT NULL, updated_by TEXT NOT NULL
);
CREATE INDEX installed_site ON installed(site);
CREATE INDEX installed_contract ON installed(contract);

-- What agents have named until now.
INSERT INTO sites (id, to_complete, version, updated_at, updated_by)
    SELECT site, 1, 1, MAX(created_at), 'collector' FROM
        (SELECT site, created_at FROM agents WHERE site <> ''
         UNION ALL SELECT site, first_seen_at AS created_at FROM devices WHERE site <> '') AS named GROUP BY site;
INSERT INTO installed (id, name, vendor, model, site, contract, to_complete, version, updated_at, updated_by)
    SELECT serial, MAX(name), COALESCE(MAX(vendor), ''), COALESCE(MAX(model), ''), COALESCE(MAX(site), ''),
           COALESCE(MAX(contract), ''), 1, 1, MAX(first_seen_at), 'collector'
    FROM devices WHERE serial <> '' GROUP BY serial;

-- What is known of a ticket's cover at its opening, JSON; NULL: opened before there were contracts.
ALTER TABLE tickets ADD COLUMN entitlement TEXT;
ALTER TABLE tickets ADD COLUMN plan TEXT;                 -- what is promised: a service plan's name
ALTER TABLE tickets ADD COLUMN class TEXT NOT NULL DEFAULT 'service_request'; -- | scheduled_event
ALTER TABLE tickets ADD COLUMN category TEXT;             -- a … g
ALTER TABLE tickets ADD COLUMN level TEXT;                -- escalated to: l2 | l3 | engineering
ALTER TABLE tickets ADD COLUMN major BIGINT NOT NULL DEFAULT 0;
ALTER TABLE tickets ADD COLUMN opened_by TEXT;            -- the person; NULL: an alarm opened it
ALTER TABLE tickets ADD COLUMN intake TEXT;               -- what the person wrote down, JSON
ALTER TABLE tickets ADD COLUMN closing TEXT;              -- the closing report, JSON
ALTER TABLE tickets ADD COLUMN merged_into TEXT;          -- a ticket's number
CREATE TABLE ticket_links (               -- both ways in one row, the lesser number first
    one TEXT NOT NULL, other TEXT NOT NULL,
    at BIGINT NOT NULL, who TEXT NOT NULL,
    PRIMARY KEY (one, other)
);
CREATE INDEX ticket_links_other ON ticket_links(other);
CREATE INDEX tickets_assignee ON tickets(assignee, ordinal);
UPDATE tickets SET state = 'recorded' WHERE state = 'new';
UPDATE tickets SET state = 'in_diagnosis' WHERE state = 'in_progress';
CREATE INDEX devices_serial ON devices(serial);
