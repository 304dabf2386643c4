//! Every route of the API, on one page. The OpenAPI document is made from the same lines.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Method};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use utoipa::OpenApi;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{
    ContentBuilder, HeaderBuilder, Object, OpenApi as Document, Ref, RefOr,
    Response as ApiResponse, ResponseBuilder, Schema, Type,
};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt as _};
use utoipa_axum::routes;

use crate::alertmanager::MAX_BYTES;

use super::rights::{RIGHTS, Right, Who};
use super::session::{CSRF_HEADER, SESSION_COOKIE};
use super::{
    Api, account, alarms, alertmanager, audit, bulk, bundles, clocks, console, desk, devices, duty,
    edge, events, explain, fleet, guard, knowledge, maintenance, masters, mine, notices, oidc,
    paths, plans, probes, queue, reports, resyncs, rosters, tickets, tokens, trust, views,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "callhome collector",
        description = "Tickets that alarms opened, their evidence, and the agents that sent them.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    tags(
        (name = "account", description = "Logging in and out"),
        (name = "tickets", description = "Faults and what is done about them"),
        (name = "service", description = "Service plans and business calendars"),
        (name = "duty", description = "Who is there, who is called"),
        (name = "notices", description = "Who was told what, and whether it arrived"),
        (name = "alarms", description = "What agents report"),
        (name = "masters", description = "Customers, sites, contacts, contracts, the installed base"),
        (name = "fleet", description = "Agents and devices"),
        (name = "maintenance", description = "When alarms are held back"),
        (name = "audit", description = "The record of everything that touches trust"),
        (name = "mine", description = "What a customer's people see and do"),
        (name = "access", description = "Tokens of programs"),
        (name = "events", description = "Live events"),
        (name = "probes", description = "For supervisors"),
        (name = "document", description = "This document"),
    )
)]
struct Head;

fn door() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(account::login, oidc::ways))
        .routes(routes!(oidc::start))
        .routes(routes!(oidc::callback))
        .routes(routes!(account::logout))
}

fn told() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(notices::of_ticket))
        .routes(routes!(notices::list))
        .routes(routes!(notices::mine, notices::choose))
        .routes(routes!(notices::try_out))
}

fn customers() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(mine::whose))
        .routes(routes!(mine::devices))
        .routes(routes!(mine::tickets, mine::open))
        .routes(routes!(mine::show))
        .routes(routes!(mine::comment))
        .routes(routes!(mine::confirm))
}

fn watched() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(alertmanager::take).layer(DefaultBodyLimit::max(MAX_BYTES)))
        .routes(routes!(tokens::list, tokens::make))
        .routes(routes!(tokens::revoke))
        .routes(routes!(trust::trust))
        .routes(routes!(audit::list))
        .routes(routes!(audit::export))
        .routes(routes!(audit::verification, audit::verify))
}

/// What is kept of the queue, and done to many of it.
fn queued() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(views::list, views::keep))
        .routes(routes!(views::change))
        .routes(routes!(views::remove))
        .routes(routes!(bulk::run))
}

fn all() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::with_openapi(Head::openapi())
        .merge(door())
        .routes(routes!(account::me))
        .routes(routes!(account::change_password))
        .routes(routes!(account::change_language))
        .routes(routes!(queue::list, desk::record))
        .merge(queued())
        .routes(routes!(tickets::show))
        .routes(routes!(tickets::transition))
        .routes(routes!(tickets::comment))
        .routes(routes!(clocks::show, clocks::by_hand))
        .routes(routes!(clocks::due))
        .routes(routes!(knowledge::list, knowledge::add))
        .routes(routes!(knowledge::show, knowledge::change))
        .routes(routes!(knowledge::remove))
        .routes(routes!(knowledge::offered, knowledge::from_ticket))
        .routes(routes!(explain::show))
        .routes(routes!(plans::list_plans))
        .routes(routes!(plans::show_plan, plans::put_plan))
        .routes(routes!(plans::remove_plan))
        .routes(routes!(plans::list_calendars))
        .routes(routes!(plans::show_calendar, plans::put_calendar))
        .routes(routes!(plans::add_days))
        .routes(routes!(plans::remove_calendar))
        .routes(routes!(desk::change))
        .routes(routes!(desk::promise))
        .routes(routes!(desk::decide))
        .routes(routes!(desk::merge))
        .routes(routes!(desk::split))
        .routes(routes!(reports::get))
        .routes(routes!(reports::export))
        .routes(routes!(desk::link))
        .routes(routes!(masters::people))
        .routes(routes!(masters::list, masters::add))
        .routes(routes!(masters::show, masters::change))
        .routes(routes!(masters::remove))
        .routes(routes!(masters::import).layer(DefaultBodyLimit::max(masters::MAX_FILE_BYTES)))
        .routes(routes!(masters::export))
        .routes(routes!(bundles::content))
        .routes(routes!(alarms::list))
        .routes(routes!(fleet::agents))
        .routes(routes!(fleet::agent))
        .routes(routes!(fleet::losses))
        .routes(routes!(paths::paths))
        .routes(routes!(resyncs::resyncs))
        .routes(routes!(fleet::devices))
        .routes(routes!(devices::device))
        .routes(routes!(maintenance::list, maintenance::begin))
        .routes(routes!(maintenance::preview))
        .routes(routes!(maintenance::end))
        .routes(routes!(duty::now))
        .routes(routes!(duty::board))
        .routes(routes!(duty::people))
        .routes(routes!(duty::put_person))
        .routes(routes!(duty::swap))
        .routes(routes!(duty::add_absence))
        .routes(routes!(duty::end_absence))
        .merge(told())
        .merge(watched())
        .merge(customers())
        .routes(routes!(rosters::list))
        .routes(routes!(rosters::put))
        .routes(routes!(rosters::remove))
        .routes(routes!(rosters::publish))
        .routes(routes!(rosters::calls))
        .routes(routes!(rosters::acknowledge))
        .routes(routes!(events::events))
        .routes(routes!(probes::healthz))
        .routes(routes!(probes::readyz))
        .routes(routes!(openapi))
}

/// This document.
#[utoipa::path(get, path = "/api/openapi.json", tag = "document", responses(
    (status = 200, description = "OpenAPI 3.1", body = Object),
))]
async fn openapi(State(api): State<Arc<Api>>) -> Response {
    let json = HeaderValue::from_static("application/json");
    ([(CONTENT_TYPE, json)], api.document.clone()).into_response()
}

/// The OpenAPI document. Who may do what comes from the table of rights.
pub fn document() -> Document {
    let (_, mut document) = all().split_for_parts();
    let cookie = SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new(SESSION_COOKIE)));
    let csrf = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(
        CSRF_HEADER,
        "The session's token, from logging in or from /api/v1/me",
    )));
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("session", cookie);
    components.add_security_scheme("csrf", csrf);
    let bearer = Http::builder().scheme(HttpAuthScheme::Bearer).bearer_format("cht_<id>_<secret>");
    components.add_security_scheme("token", SecurityScheme::Http(bearer.build()));
    let limited = document.components.get_or_insert_default();
    limited.responses.insert(TOO_FAST.to_owned(), RefOr::T(too_fast()));
    for right in RIGHTS {
        let Some(item) = document.paths.paths.get_mut(right.path) else { continue };
        let (operation, changes) = match right.method {
            Method::POST => (&mut item.post, true),
            Method::DELETE => (&mut item.delete, true),
            _ => (&mut item.get, false),
        };
        if let Some(operation) = operation {
            say_who_may(operation, right, changes);
            if right.path.starts_with("/api/") {
                let responses = &mut operation.responses.responses;
                let reference = Ref::from_response_name(TOO_FAST);
                responses.entry("429".to_owned()).or_insert(RefOr::Ref(reference));
            }
        }
    }
    document
}

/// Every route of the API is refused to those who ask too fast.
const TOO_FAST: &str = "TooManyRequests";

fn too_fast() -> ApiResponse {
    let text = |description: &str| {
        HeaderBuilder::new()
            .schema(Some(RefOr::T(Schema::Object(Object::with_type(Type::String)))))
            .description(Some(description))
            .build()
    };
    ResponseBuilder::new()
        .description("Asked too fast: per user, or from this address")
        .header("Retry-After", text("Seconds until the next request may come"))
        .header(
            "RateLimit-Policy",
            text("The limit: how many at once (q), refilled in so many seconds (w)"),
        )
        .header("RateLimit", text("How many may come now (r), and seconds until all may (t)"))
        .content(
            "application/json",
            ContentBuilder::new()
                .schema(Some(RefOr::<Schema>::Ref(Ref::from_schema_name("Problem"))))
                .build(),
        )
        .build()
}

fn say_who_may(operation: &mut Operation, right: &Right, changes: bool) {
    let mut needs = SecurityRequirement::new("session", Vec::<String>::new());
    if changes {
        needs = needs.add("csrf", Vec::<String>::new());
    }
    let roles = match right.who {
        Who::Anyone => {
            operation.security = Some(Vec::new());
            return;
        }
        Who::LoggedIn => {
            "everybody who is logged in, even before a one-time password is changed".to_owned()
        }
        Who::Roles(roles) => roles.iter().map(|r| r.as_str()).collect::<Vec<_>>().join(", "),
    };
    let mut ways = vec![needs];
    let mut text = format!("For: {roles}.");
    if let Some(scope) = right.scope {
        ways.push(SecurityRequirement::new("token", [scope.as_str()]));
        text = format!("{text} Tokens with the scope {}.", scope.as_str());
    }
    operation.security = Some(ways);
    operation.description = Some(text);
}

/// Everything that the HTTPS server serves: the API behind its guard, `others` (routes that look
/// after their own rights, such as enrolment), and the console.
pub fn app(api: Arc<Api>, others: Router) -> Router {
    let (routes, _) = all().split_for_parts();
    let metrics = api.metrics.clone();
    let routes = routes
        .route_layer(middleware::from_fn_with_state(api.clone(), guard::guard))
        .with_state(api)
        .merge(others)
        .fallback(console::fallback);
    edge::wrap(routes, metrics)
}
