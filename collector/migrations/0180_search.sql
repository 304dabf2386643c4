-- The words by which tickets are found. A term is kept as the hexadecimal digits of its letters: a database
-- with any order of letters then finds what begins with a term in one range of the index.
CREATE TABLE ticket_terms (
    ordinal BIGINT NOT NULL,
    term TEXT NOT NULL,
    PRIMARY KEY (ordinal, term)
);
CREATE INDEX ticket_terms_term ON ticket_terms(term, ordinal);
-- Tickets from before there was a search: those below this number still have to be read.
CREATE TABLE ticket_search (only_row BIGINT PRIMARY KEY, below BIGINT NOT NULL);
INSERT INTO ticket_search (only_row, below) SELECT 1, last + 1 FROM ticket_number WHERE only_row = 1;
