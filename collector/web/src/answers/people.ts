// Who is logged in, and colleagues.

import type { Language } from './words';

export interface User {
  name: string;
  display_name: string;
  role: string;
  language: Language;
  must_change_password: boolean;
}

export interface Me {
  user: User;
  csrf: string;
}

/** Somebody who may be given a ticket. */
export interface Colleague {
  name: string;
  display_name: string;
  role: string;
}

/** How people log in here. */
export interface Ways {
  password: string;
  oidc?: OidcWay;
}

/** Log-in by an OpenID provider. */
export interface OidcWay {
  /** What the button says; without it what the console's language says. */
  label?: string;
}
