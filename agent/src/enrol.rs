//! Enrolment: EST (RFC 7030) `simpleenroll` with a one-time token.
