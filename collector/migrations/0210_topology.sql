-- Devices that appeared, by the number that the topology had then (meta 'topology'): it is added to, not read again.
-- A number that is not here: something else changed, and all of it is read again.
CREATE TABLE topology_news (
    version BIGINT PRIMARY KEY,
    devices TEXT NOT NULL                 -- JSON: [[agent, device], …]
);
