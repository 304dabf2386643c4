// Articles about faults.

/** What solved faults of one code taught. */
export interface Article {
  id: string;
  code: string;
  title: string;
  symptom: string;
  cause: string;
  fix: string;
  ticket: string | null;
  version: number;
  updated_at: string;
  updated_by: string;
}

export interface ArticleList {
  items: Article[];
  next: string | null;
}

export interface OfferedArticles {
  code: string | null;
  own: Article | null;
  similar: Article[];
}

export interface ArticleWish {
  version: number;
  code: string;
  title: string;
  symptom: string;
  cause: string;
  fix: string;
}
