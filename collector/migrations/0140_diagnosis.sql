-- What became of each alarm life that did not simply join its ticket, and why; what hangs on what.
ALTER TABLE cases ADD COLUMN consequence BIGINT NOT NULL DEFAULT 0; -- of another fault, which its ticket is about
ALTER TABLE tickets ADD COLUMN flapping BIGINT NOT NULL DEFAULT 0;
ALTER TABLE devices ADD COLUMN parent_resource TEXT;
ALTER TABLE installed ADD COLUMN hangs_on TEXT NOT NULL DEFAULT '';   -- separated by ;
ALTER TABLE installed ADD COLUMN powered_by TEXT NOT NULL DEFAULT ''; -- separated by ;
CREATE TABLE decisions (
    alarm_id TEXT PRIMARY KEY,
    outcome TEXT NOT NULL,                -- waits | recorded | transient | opened | joined | consequence
    why TEXT,                             -- of one that waits: hold-down | cause
    rule TEXT,                            -- the rule that says so
    worst TEXT NOT NULL,                  -- its worst severity so far
    since BIGINT NOT NULL,
    until_at BIGINT,                      -- it waits until then at most
    look_at BIGINT,                       -- when it is looked at next
    detail TEXT NOT NULL                  -- JSON: the cause, the way to it
);
CREATE INDEX decisions_look ON decisions(look_at) WHERE look_at IS NOT NULL;
-- How often a fault came lately; who else has it.
CREATE INDEX alarms_lives ON alarms(identity, raised_at);
