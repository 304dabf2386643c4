//! Who may do what: one table, asked for every request. A route that is not in it is not served.

use axum::http::Method;

/// A user's role, after the service model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// A customer's person.
    Customer,
    /// Takes calls, records, routes.
    ServiceDesk,
    /// L1: on site.
    FieldEngineer,
    /// L2 (PSE): remote diagnosis.
    SupportEngineer,
    /// L3: experts and engineering.
    Expert,
    /// Picks engineer and part.
    Dispatcher,
    /// Decides special cases.
    Manager,
    /// Users, agents, keys.
    Administrator,
}

impl Role {
    /// All roles.
    pub const ALL: [Role; 8] = [
        Role::Customer,
        Role::ServiceDesk,
        Role::FieldEngineer,
        Role::SupportEngineer,
        Role::Expert,
        Role::Dispatcher,
        Role::Manager,
        Role::Administrator,
    ];

    /// The name in the database, on the command line and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Customer => "customer",
            Role::ServiceDesk => "service_desk",
            Role::FieldEngineer => "field_engineer",
            Role::SupportEngineer => "support_engineer",
            Role::Expert => "expert",
            Role::Dispatcher => "dispatcher",
            Role::Manager => "manager",
            Role::Administrator => "administrator",
        }
    }

    /// Reads [`Role::as_str`] back.
    pub fn parse(text: &str) -> Option<Self> {
        Role::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Everybody, logged in or not.
    Anyone,
    /// Everybody who is logged in, even before a one-time password has been changed.
    LoggedIn,
    /// Who is logged in with one of these roles.
    Roles(&'static [Role]),
}

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Right {
    /// The request's method.
    pub method: Method,
    /// The router's pattern.
    pub path: &'static str,
    /// Who may.
    pub who: Who,
}

const EVERY_ROLE: Who = Who::Roles(&Role::ALL);

/// The support centre. A customer sees nothing until users are tied to sites.
const CENTRE: Who = Who::Roles(&[
    Role::ServiceDesk,
    Role::FieldEngineer,
    Role::SupportEngineer,
    Role::Expert,
    Role::Dispatcher,
    Role::Manager,
    Role::Administrator,
]);

/// Who works on tickets. The administrator is among them: he gives out the roles, so refusing him
/// would protect nothing, and a small house has only him.
const SERVICE: Who = CENTRE;

/// Who keeps customers, sites, contacts, contracts and the installed base.
const DESK: Who =
    Who::Roles(&[Role::ServiceDesk, Role::Dispatcher, Role::Manager, Role::Administrator]);

/// Who may see who did what, says what is promised, and decides special cases.
const MANAGE: Who = Who::Roles(&[Role::Manager, Role::Administrator]);

/// Who keeps the rosters and what is known of people.
const DUTY: Who = Who::Roles(&[Role::Dispatcher, Role::Manager, Role::Administrator]);

const fn right(method: Method, path: &'static str, who: Who) -> Right {
    Right { method, path, who }
}

/// The table.
pub static RIGHTS: &[Right] = &[
    right(Method::GET, "/healthz", Who::Anyone),
    right(Method::GET, "/readyz", Who::Anyone),
    right(Method::GET, "/api/openapi.json", Who::Anyone),
    right(Method::POST, "/api/v1/login", Who::Anyone),
    right(Method::POST, "/api/v1/logout", Who::LoggedIn),
    right(Method::GET, "/api/v1/me", Who::LoggedIn),
    right(Method::POST, "/api/v1/me/password", Who::LoggedIn),
    right(Method::POST, "/api/v1/me/language", EVERY_ROLE),
    right(Method::GET, "/api/v1/tickets", CENTRE),
    right(Method::GET, "/api/v1/tickets/{number}", CENTRE),
    right(Method::POST, "/api/v1/tickets/{number}/transitions", SERVICE),
    right(Method::POST, "/api/v1/tickets/{number}/comments", SERVICE),
    right(Method::GET, "/api/v1/tickets/{number}/clocks", CENTRE),
    right(Method::POST, "/api/v1/tickets/{number}/clocks", SERVICE),
    right(Method::POST, "/api/v1/tickets/{number}/plan", MANAGE),
    right(Method::GET, "/api/v1/tickets/{number}/articles", CENTRE),
    right(Method::POST, "/api/v1/tickets/{number}/articles", SERVICE),
    right(Method::GET, "/api/v1/articles", CENTRE),
    right(Method::POST, "/api/v1/articles", SERVICE),
    right(Method::GET, "/api/v1/articles/{id}", CENTRE),
    right(Method::POST, "/api/v1/articles/{id}", SERVICE),
    right(Method::POST, "/api/v1/articles/{id}/removal", MANAGE),
    right(Method::GET, "/api/v1/tickets/{number}/explain", CENTRE),
    right(Method::GET, "/api/v1/due", CENTRE),
    right(Method::GET, "/api/v1/plans", CENTRE),
    right(Method::GET, "/api/v1/plans/{name}", CENTRE),
    right(Method::POST, "/api/v1/plans/{name}", MANAGE),
    right(Method::POST, "/api/v1/plans/{name}/removal", MANAGE),
    right(Method::GET, "/api/v1/calendars", CENTRE),
    right(Method::GET, "/api/v1/calendars/{name}", CENTRE),
    right(Method::POST, "/api/v1/calendars/{name}", MANAGE),
    right(Method::POST, "/api/v1/calendars/{name}/days", MANAGE),
    right(Method::POST, "/api/v1/calendars/{name}/removal", MANAGE),
    right(Method::POST, "/api/v1/tickets", SERVICE),
    right(Method::POST, "/api/v1/tickets/{number}/changes", SERVICE),
    right(Method::POST, "/api/v1/tickets/{number}/decision", MANAGE),
    right(Method::POST, "/api/v1/tickets/{number}/merge", SERVICE),
    right(Method::POST, "/api/v1/tickets/{number}/links", SERVICE),
    right(Method::GET, "/api/v1/people", CENTRE),
    right(Method::GET, "/api/v1/masters/{kind}", CENTRE),
    right(Method::POST, "/api/v1/masters/{kind}", DESK),
    right(Method::GET, "/api/v1/masters/{kind}/{id}", CENTRE),
    right(Method::POST, "/api/v1/masters/{kind}/{id}", DESK),
    right(Method::POST, "/api/v1/masters/{kind}/{id}/removal", DESK),
    right(Method::POST, "/api/v1/imports/{kind}", DESK),
    right(Method::GET, "/api/v1/exports/{kind}", CENTRE),
    right(Method::GET, "/api/v1/bundles/{id}/content", CENTRE),
    right(Method::GET, "/api/v1/alarms", CENTRE),
    right(Method::GET, "/api/v1/agents", CENTRE),
    right(Method::GET, "/api/v1/agents/{id}", CENTRE),
    right(Method::GET, "/api/v1/agents/{id}/losses", CENTRE),
    right(Method::GET, "/api/v1/agents/{id}/paths", CENTRE),
    right(Method::GET, "/api/v1/agents/{id}/resyncs", CENTRE),
    right(Method::GET, "/api/v1/devices", CENTRE),
    right(Method::GET, "/api/v1/maintenance", CENTRE),
    right(Method::POST, "/api/v1/maintenance", SERVICE),
    right(Method::POST, "/api/v1/maintenance/preview", SERVICE),
    right(Method::DELETE, "/api/v1/maintenance/{id}", SERVICE),
    right(Method::GET, "/api/v1/duty", CENTRE),
    right(Method::GET, "/api/v1/duty/board", CENTRE),
    right(Method::GET, "/api/v1/duty/people", CENTRE),
    right(Method::POST, "/api/v1/duty/people/{name}", DUTY),
    right(Method::GET, "/api/v1/tickets/{number}/notices", CENTRE),
    right(Method::GET, "/api/v1/notices", MANAGE),
    right(Method::GET, "/api/v1/me/notices", CENTRE),
    right(Method::POST, "/api/v1/me/notices", CENTRE),
    right(Method::POST, "/api/v1/me/notices/test", CENTRE),
    right(Method::GET, "/api/v1/rosters", CENTRE),
    right(Method::POST, "/api/v1/rosters/{name}", DUTY),
    right(Method::POST, "/api/v1/rosters/{name}/removal", DUTY),
    right(Method::POST, "/api/v1/rosters/{name}/publication", DUTY),
    right(Method::POST, "/api/v1/shifts/{id}/swap", SERVICE),
    right(Method::POST, "/api/v1/absences", SERVICE),
    right(Method::DELETE, "/api/v1/absences/{id}", SERVICE),
    right(Method::GET, "/api/v1/tickets/{number}/calls", CENTRE),
    right(Method::POST, "/api/v1/tickets/{number}/acknowledgement", SERVICE),
    right(Method::GET, "/api/v1/trust", CENTRE),
    right(Method::GET, "/api/v1/audit", MANAGE),
    right(Method::GET, "/api/v1/audit/export", MANAGE),
    right(Method::GET, "/api/v1/audit/verification", MANAGE),
    right(Method::POST, "/api/v1/audit/verification", MANAGE),
    right(Method::GET, "/api/v1/events", CENTRE),
];

/// What the table says about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// These may.
    For(Who),
    /// The path exists, but not with this method.
    OtherMethod,
    /// The path is not in the table.
    Unknown,
}

/// Looks a request up. HEAD is GET without its body.
pub fn ruling(method: &Method, path: &str) -> Ruling {
    let method = if method == Method::HEAD { &Method::GET } else { method };
    let mut of_path = RIGHTS.iter().filter(|right| right.path == path).peekable();
    if of_path.peek().is_none() {
        return Ruling::Unknown;
    }
    of_path
        .find(|right| right.method == *method)
        .map_or(Ruling::OtherMethod, |right| Ruling::For(right.who))
}

/// The methods that a path takes, for the `Allow` header.
pub fn methods(path: &str) -> String {
    let of_path = RIGHTS.iter().filter(|right| right.path == path);
    of_path.map(|right| right.method.as_str()).collect::<Vec<_>>().join(", ")
}

/// Whether `role` may, with or without a one-time password still to be changed.
pub fn permits(who: Who, role: Option<Role>, must_change: bool) -> Permit {
    match (who, role) {
        (Who::Anyone | Who::LoggedIn, _) => Permit::Yes,
        (Who::Roles(_), _) if must_change => Permit::PasswordFirst,
        (Who::Roles(roles), Some(role)) if roles.contains(&role) => Permit::Yes,
        // A role that this program does not know has no rights.
        (Who::Roles(_), _) => Permit::No,
    }
}

/// See [`permits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permit {
    /// Go on.
    Yes,
    /// Not with this role.
    No,
    /// Not before the password was changed.
    PasswordFirst,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_read_back() {
        for role in Role::ALL {
            assert_eq!(Role::parse(role.as_str()), Some(role));
        }
        assert_eq!(Role::parse("root"), None);
    }

    #[test]
    fn unknown_roles_and_one_time_passwords_have_no_rights() {
        assert_eq!(permits(CENTRE, None, false), Permit::No);
        assert_eq!(permits(CENTRE, Some(Role::Customer), false), Permit::No);
        assert_eq!(permits(CENTRE, Some(Role::Manager), true), Permit::PasswordFirst);
        assert_eq!(permits(Who::LoggedIn, None, true), Permit::Yes);
        assert_eq!(ruling(&Method::HEAD, "/api/v1/me"), Ruling::For(Who::LoggedIn));
        assert_eq!(ruling(&Method::DELETE, "/api/v1/me"), Ruling::OtherMethod);
        assert_eq!(ruling(&Method::GET, "/api/v1/none"), Ruling::Unknown);
    }
}
