//! The HTTPS API, OpenAPI, live events and the console's files.
