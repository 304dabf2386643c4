//! Who may do what: one table, asked for every request. A route that is not in it is not served.

use axum::http::Method;

use crate::access::Scope;

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

/// What of a request goes into the record of trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// Nothing, or what the handler itself writes beside its deed.
    Nothing,
    /// That something was changed.
    Change,
    /// That evidence was read, once an hour of the same person.
    Evidence,
    /// That much was taken along at once.
    Export,
}

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    /// The request's method.
    pub method: Method,
    /// The router's pattern.
    pub path: &'static str,
    /// Who may.
    pub who: Who,
    /// Which scope a program's token needs; `None`: it is for people.
    pub scope: Option<Scope>,
    record: Option<Record>,
}

const EVERY_ROLE: Who = Who::Roles(&Role::ALL);

/// Customers' people: what they see is limited to their customer and sites where it is read.
const CUSTOMER: Who = Who::Roles(&[Role::Customer]);

/// The support centre. Nothing of this is open to customers.
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

/// Who keeps users, agents and keys.
const KEYS: Who = Who::Roles(&[Role::Administrator]);

/// Who keeps the rosters and what is known of people.
const DUTY: Who = Who::Roles(&[Role::Dispatcher, Role::Manager, Role::Administrator]);

const fn right(method: Method, path: &'static str, who: Who) -> Right {
    Right { method, path, who, scope: None, record: None }
}

impl Right {
    /// A program's token with this scope opens it, too.
    const fn opens(mut self, scope: Scope) -> Self {
        self.scope = Some(scope);
        self
    }

    /// What of it is recorded, where it is not the usual.
    const fn records(mut self, record: Record) -> Self {
        self.record = Some(record);
        self
    }

    /// What of it is recorded: unless told, that something was changed by any method but GET.
    pub fn record(&self) -> Record {
        let usual = if self.method == Method::GET { Record::Nothing } else { Record::Change };
        self.record.unwrap_or(usual)
    }
}

/// The table.
pub static RIGHTS: &[Right] = &[
    right(Method::GET, "/healthz", Who::Anyone),
    right(Method::GET, "/readyz", Who::Anyone),
    right(Method::GET, "/api/openapi.json", Who::Anyone),
    right(Method::POST, "/api/v1/login", Who::Anyone).records(Record::Nothing),
    right(Method::GET, "/api/v1/login", Who::Anyone),
    right(Method::GET, "/api/v1/oidc/start", Who::Anyone),
    right(Method::GET, "/api/v1/oidc/callback", Who::Anyone),
    right(Method::POST, "/api/v1/logout", Who::LoggedIn).records(Record::Nothing),
    right(Method::GET, "/api/v1/me", Who::LoggedIn),
    right(Method::POST, "/api/v1/me/password", Who::LoggedIn).records(Record::Nothing),
    right(Method::POST, "/api/v1/me/language", EVERY_ROLE).records(Record::Nothing),
    right(Method::GET, "/api/v1/tickets", CENTRE).opens(Scope::TicketsRead),
    right(Method::GET, "/api/v1/views", CENTRE).opens(Scope::TicketsRead),
    right(Method::POST, "/api/v1/views", CENTRE),
    right(Method::POST, "/api/v1/views/{id}", CENTRE),
    right(Method::POST, "/api/v1/views/{id}/removal", CENTRE),
    right(Method::POST, "/api/v1/bulk", SERVICE).opens(Scope::TicketsWrite),
    right(Method::GET, "/api/v1/tickets/{number}", CENTRE)
        .opens(Scope::TicketsRead)
        .records(Record::Evidence),
    right(Method::POST, "/api/v1/tickets/{number}/transitions", SERVICE).opens(Scope::TicketsWrite),
    right(Method::POST, "/api/v1/tickets/{number}/comments", SERVICE).opens(Scope::TicketsWrite),
    right(Method::GET, "/api/v1/tickets/{number}/clocks", CENTRE).opens(Scope::TicketsRead),
    right(Method::POST, "/api/v1/tickets/{number}/clocks", SERVICE).opens(Scope::TicketsWrite),
    right(Method::POST, "/api/v1/tickets/{number}/plan", MANAGE).opens(Scope::ServiceWrite),
    right(Method::GET, "/api/v1/tickets/{number}/articles", CENTRE).opens(Scope::TicketsRead),
    right(Method::POST, "/api/v1/tickets/{number}/articles", SERVICE).opens(Scope::TicketsWrite),
    right(Method::GET, "/api/v1/articles", CENTRE).opens(Scope::KnowledgeRead),
    right(Method::POST, "/api/v1/articles", SERVICE).opens(Scope::KnowledgeWrite),
    right(Method::GET, "/api/v1/articles/{id}", CENTRE).opens(Scope::KnowledgeRead),
    right(Method::POST, "/api/v1/articles/{id}", SERVICE).opens(Scope::KnowledgeWrite),
    right(Method::POST, "/api/v1/articles/{id}/removal", MANAGE).opens(Scope::KnowledgeWrite),
    right(Method::GET, "/api/v1/tickets/{number}/explain", CENTRE).opens(Scope::TicketsRead),
    right(Method::GET, "/api/v1/due", CENTRE).opens(Scope::TicketsRead),
    right(Method::GET, "/api/v1/plans", CENTRE).opens(Scope::ServiceRead),
    right(Method::GET, "/api/v1/plans/{name}", CENTRE).opens(Scope::ServiceRead),
    right(Method::POST, "/api/v1/plans/{name}", MANAGE).opens(Scope::ServiceWrite),
    right(Method::POST, "/api/v1/plans/{name}/removal", MANAGE).opens(Scope::ServiceWrite),
    right(Method::GET, "/api/v1/calendars", CENTRE).opens(Scope::ServiceRead),
    right(Method::GET, "/api/v1/calendars/{name}", CENTRE).opens(Scope::ServiceRead),
    right(Method::POST, "/api/v1/calendars/{name}", MANAGE).opens(Scope::ServiceWrite),
    right(Method::POST, "/api/v1/calendars/{name}/days", MANAGE).opens(Scope::ServiceWrite),
    right(Method::POST, "/api/v1/calendars/{name}/removal", MANAGE).opens(Scope::ServiceWrite),
    right(Method::POST, "/api/v1/tickets", SERVICE).opens(Scope::TicketsWrite),
    right(Method::POST, "/api/v1/tickets/{number}/changes", SERVICE).opens(Scope::TicketsWrite),
    right(Method::POST, "/api/v1/tickets/{number}/decision", MANAGE),
    right(Method::POST, "/api/v1/tickets/{number}/split", SERVICE).opens(Scope::TicketsWrite),
    right(Method::POST, "/api/v1/tickets/{number}/merge", SERVICE).opens(Scope::TicketsWrite),
    right(Method::POST, "/api/v1/tickets/{number}/links", SERVICE).opens(Scope::TicketsWrite),
    right(Method::GET, "/api/v1/reports", CENTRE).opens(Scope::TicketsRead),
    right(Method::GET, "/api/v1/reports/export", CENTRE)
        .opens(Scope::TicketsRead)
        .records(Record::Export),
    right(Method::GET, "/api/v1/people", CENTRE).opens(Scope::TicketsRead),
    right(Method::GET, "/api/v1/masters/{kind}", CENTRE).opens(Scope::MastersRead),
    right(Method::POST, "/api/v1/masters/{kind}", DESK).opens(Scope::MastersWrite),
    right(Method::GET, "/api/v1/masters/{kind}/{id}", CENTRE).opens(Scope::MastersRead),
    right(Method::POST, "/api/v1/masters/{kind}/{id}", DESK).opens(Scope::MastersWrite),
    right(Method::POST, "/api/v1/masters/{kind}/{id}/removal", DESK).opens(Scope::MastersWrite),
    right(Method::POST, "/api/v1/imports/{kind}", DESK).opens(Scope::MastersWrite),
    right(Method::GET, "/api/v1/exports/{kind}", CENTRE)
        .opens(Scope::MastersRead)
        .records(Record::Export),
    right(Method::GET, "/api/v1/bundles/{id}/content", CENTRE).opens(Scope::EvidenceRead),
    right(Method::POST, "/api/v1/alertmanager", SERVICE)
        .opens(Scope::AlarmsWrite)
        .records(Record::Nothing),
    right(Method::GET, "/api/v1/alarms", CENTRE).opens(Scope::AlarmsRead),
    right(Method::GET, "/api/v1/agents", CENTRE).opens(Scope::FleetRead),
    right(Method::GET, "/api/v1/agents/{id}", CENTRE).opens(Scope::FleetRead),
    right(Method::GET, "/api/v1/agents/{id}/losses", CENTRE).opens(Scope::FleetRead),
    right(Method::GET, "/api/v1/agents/{id}/paths", CENTRE).opens(Scope::FleetRead),
    right(Method::GET, "/api/v1/agents/{id}/resyncs", CENTRE).opens(Scope::FleetRead),
    right(Method::GET, "/api/v1/devices", CENTRE).opens(Scope::FleetRead),
    right(Method::GET, "/api/v1/devices/{agent}/{id}", CENTRE).opens(Scope::FleetRead),
    right(Method::GET, "/api/v1/maintenance", CENTRE).opens(Scope::MaintenanceRead),
    right(Method::POST, "/api/v1/maintenance", SERVICE)
        .opens(Scope::MaintenanceWrite)
        .records(Record::Nothing),
    right(Method::POST, "/api/v1/maintenance/preview", SERVICE)
        .opens(Scope::MaintenanceRead)
        .records(Record::Nothing),
    right(Method::DELETE, "/api/v1/maintenance/{id}", SERVICE)
        .opens(Scope::MaintenanceWrite)
        .records(Record::Nothing),
    right(Method::GET, "/api/v1/duty", CENTRE).opens(Scope::DutyRead),
    right(Method::GET, "/api/v1/duty/board", CENTRE).opens(Scope::DutyRead),
    right(Method::GET, "/api/v1/duty/people", CENTRE).opens(Scope::DutyRead),
    right(Method::POST, "/api/v1/duty/people/{name}", DUTY).opens(Scope::DutyWrite),
    right(Method::GET, "/api/v1/tickets/{number}/notices", CENTRE).opens(Scope::TicketsRead),
    right(Method::GET, "/api/v1/notices", MANAGE).opens(Scope::NoticesRead),
    right(Method::GET, "/api/v1/me/notices", CENTRE),
    right(Method::POST, "/api/v1/me/notices", CENTRE).records(Record::Nothing),
    right(Method::POST, "/api/v1/me/notices/test", CENTRE).records(Record::Nothing),
    right(Method::GET, "/api/v1/rosters", CENTRE).opens(Scope::DutyRead),
    right(Method::POST, "/api/v1/rosters/{name}", DUTY).opens(Scope::DutyWrite),
    right(Method::POST, "/api/v1/rosters/{name}/removal", DUTY).opens(Scope::DutyWrite),
    right(Method::POST, "/api/v1/rosters/{name}/publication", DUTY).opens(Scope::DutyWrite),
    right(Method::POST, "/api/v1/shifts/{id}/swap", SERVICE).opens(Scope::DutyWrite),
    right(Method::POST, "/api/v1/absences", SERVICE).opens(Scope::DutyWrite),
    right(Method::DELETE, "/api/v1/absences/{id}", SERVICE).opens(Scope::DutyWrite),
    right(Method::GET, "/api/v1/tickets/{number}/calls", CENTRE).opens(Scope::TicketsRead),
    right(Method::POST, "/api/v1/tickets/{number}/acknowledgement", SERVICE)
        .opens(Scope::TicketsWrite),
    right(Method::GET, "/api/v1/trust", CENTRE).opens(Scope::FleetRead),
    right(Method::GET, "/api/v1/mine", CUSTOMER),
    right(Method::GET, "/api/v1/mine/devices", CUSTOMER),
    right(Method::GET, "/api/v1/mine/tickets", CUSTOMER),
    right(Method::POST, "/api/v1/mine/tickets", CUSTOMER),
    right(Method::GET, "/api/v1/mine/tickets/{number}", CUSTOMER),
    right(Method::POST, "/api/v1/mine/tickets/{number}/comments", CUSTOMER),
    right(Method::POST, "/api/v1/mine/tickets/{number}/confirmation", CUSTOMER),
    right(Method::GET, "/api/v1/tokens", KEYS),
    right(Method::POST, "/api/v1/tokens", KEYS).records(Record::Nothing),
    right(Method::POST, "/api/v1/tokens/{id}/revocation", KEYS).records(Record::Nothing),
    right(Method::GET, "/api/v1/audit", MANAGE).opens(Scope::AuditRead),
    right(Method::GET, "/api/v1/audit/export", MANAGE)
        .opens(Scope::AuditRead)
        .records(Record::Export),
    right(Method::GET, "/api/v1/audit/verification", MANAGE).opens(Scope::AuditRead),
    right(Method::POST, "/api/v1/audit/verification", MANAGE)
        .opens(Scope::AuditRead)
        .records(Record::Nothing),
    right(Method::GET, "/api/v1/events", CENTRE).opens(Scope::EventsRead),
];

/// What the table says about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// As this line says.
    For(&'static Right),
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
    of_path.find(|right| right.method == *method).map_or(Ruling::OtherMethod, Ruling::For)
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

/// Whether a scope opens anything for somebody with this role.
pub fn grants(role: Role, scope: Scope) -> bool {
    RIGHTS
        .iter()
        .filter(|right| right.scope == Some(scope))
        .any(|right| matches!(right.who, Who::Roles(roles) if roles.contains(&role)))
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
        let me = ruling(&Method::HEAD, "/api/v1/me");
        assert!(matches!(me, Ruling::For(right) if right.who == Who::LoggedIn));
        assert_eq!(ruling(&Method::DELETE, "/api/v1/me"), Ruling::OtherMethod);
        assert_eq!(ruling(&Method::GET, "/api/v1/none"), Ruling::Unknown);
    }
}
