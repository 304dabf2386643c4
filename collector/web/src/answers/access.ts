// Tokens of programs.

export interface ApiToken {
  id: string;
  name: string;
  scopes: string[];
  owner: string;
  /** None: not limited to sites. */
  sites: string[];
  created_at: string;
  created_by: string;
  expires_at: string;
  last_used_at: string | null;
  revoked_at: string | null;
  good: boolean;
}

export interface TokenList {
  items: ApiToken[];
  /** All scopes that there are. */
  scopes: string[];
}

export interface TokenMade {
  /** Shown this one time. */
  text: string;
  token: ApiToken;
}

export interface TokenWish {
  name: string;
  scopes: string[];
  owner: string;
  sites: string[];
  valid_days: number;
}
