-- One life of a fault at a time stands by the collector's own word.
CREATE UNIQUE INDEX alarms_own ON alarms(identity) WHERE own = 1 AND active = 1;
