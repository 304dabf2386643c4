-- What the balance of a stream needs beside its marks.
ALTER TABLE streams ADD COLUMN rejected BIGINT NOT NULL DEFAULT 0; -- of the committed ones, refused
ALTER TABLE streams ADD COLUMN missing BIGINT NOT NULL DEFAULT 0;  -- acknowledged by another store: never here
