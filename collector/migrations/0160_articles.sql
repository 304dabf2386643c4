-- What solved faults taught: one article a fault code, found by its words.
CREATE TABLE articles (
    id TEXT PRIMARY KEY,                  -- the code in small letters
    code TEXT NOT NULL,
    title TEXT NOT NULL,
    symptom TEXT NOT NULL,
    cause TEXT NOT NULL,
    fix TEXT NOT NULL,
    ticket TEXT,                          -- number of the ticket that it was written from
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL, created_by TEXT NOT NULL,
    updated_at BIGINT NOT NULL, updated_by TEXT NOT NULL
);
CREATE TABLE article_terms (
    term TEXT NOT NULL,
    article_id TEXT NOT NULL REFERENCES articles(id),
    weight BIGINT NOT NULL,
    PRIMARY KEY (term, article_id)
);
CREATE INDEX article_terms_article ON article_terms(article_id);
