//! The page of administrators: apps, people and jobs, and what may be done with them. Which user is one is said by
//! `vesta user administrator`, never here.

use super::error::ServerError;
use super::session::Browser;
use super::{AuthorizationServer, Route};
use crate::event::{EventKind, cleaned};
use crate::message::{Reply, Request};
use crate::page::{self, Administering, Told};
use crate::record::{Authentication, Client, SessionUser, User};
use crate::secret::new_secret;

/// The most jobs that are shown: the latest.
const MAX_JOBS: usize = 100;

/// What a form asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Order<'r> {
    Register,
    EnableClient(&'r str, bool),
    RemoveClient(&'r str),
    EnableUser(&'r str, bool),
    CancelJob(&'r str),
}

impl<'r> Order<'r> {
    fn of(request: &'r Request) -> Option<Order<'r>> {
        let of = request.get("of").unwrap_or_default();
        Some(match request.get("order")? {
            "register" => Order::Register,
            "enable-client" => Order::EnableClient(of, true),
            "disable-client" => Order::EnableClient(of, false),
            "remove-client" => Order::RemoveClient(of),
            "enable-user" => Order::EnableUser(of, true),
            "disable-user" => Order::EnableUser(of, false),
            "cancel-job" => Order::CancelJob(of),
            _ => return None,
        })
    }
}

impl AuthorizationServer {
    pub(super) async fn admin(&self, request: &Request) -> Result<Reply, ServerError> {
        let browser = self.browser(request).await?;
        let Some(user) = browser.session.user.clone() else {
            return Ok(self.keep(&browser, Reply::see_other(self.path(Route::Login))));
        };
        let administers = self.is_administrator(&user).await?;
        if request.post && !browser.sent_form(request) {
            return Ok(page::forged(self));
        }
        let order = if request.post { Order::of(request) } else { None };
        let told = match &order {
            _ if !administers => Some(Told::Refused("Only administrators may do that.".to_owned())),
            Some(order) => Some(self.carry_out(order, &user, request).await?),
            None if request.post => Some(Told::Refused("Nothing was asked for.".to_owned())),
            None => None,
        };
        if request.post {
            let mut event = self.event(EventKind::Administer, request);
            event.user = Some(user.username.clone());
            let (order, of) = (request.get("order").unwrap_or_default(), request.get("of"));
            let of = of.or_else(|| request.get("id")).unwrap_or_default();
            event.order = Some(cleaned(&format!("{order} {of}")));
            event.failure = match &told {
                Some(Told::Refused(why)) => Some(why.clone()),
                _ => None,
            };
            self.record(event);
        }
        match administers {
            false => Ok(page::refusal(
                self,
                403,
                "Not for you",
                "This page is for administrators. Whoever runs the server makes one with vesta user administrator.",
            )),
            true => self.admin_page(&browser, &user, told, request).await,
        }
    }

    /// Whether the page of apps, people and jobs is a user's: as their account is now, not when they logged in.
    pub(super) async fn is_administrator(&self, user: &SessionUser) -> Result<bool, ServerError> {
        let known = self.records().get::<User>(&User::key(&user.username)).await?;
        Ok(known.is_some_and(|known| known.sub == user.sub && known.enabled && known.administrator))
    }

    async fn admin_page(
        &self,
        browser: &Browser,
        user: &SessionUser,
        told: Option<Told>,
        request: &Request,
    ) -> Result<Reply, ServerError> {
        let mut jobs = self.services.jobs.all()?;
        jobs.truncate(MAX_JOBS);
        let administering = Administering {
            user,
            csrf: &browser.session.csrf,
            // What was typed is there again, if it could not be taken.
            typed: matches!(told, Some(Told::Refused(_))).then_some(request),
            told,
            clients: &self.clients().await?,
            users: &self.users().await?,
            jobs: &jobs,
            path: self.path(Route::Admin),
            manage: self.path(Route::Manage),
        };
        Ok(page::administer(self, &administering))
    }

    async fn carry_out(
        &self,
        order: &Order<'_>,
        by: &SessionUser,
        request: &Request,
    ) -> Result<Told, ServerError> {
        let none = |what: &str| Told::Refused(format!("There is no such {what} any more."));
        Ok(match *order {
            Order::Register => self.register_typed(request).await?,
            Order::EnableClient(id, enabled) => {
                let Some(client) = self.client(id).await? else { return Ok(none("app")) };
                match self.put_client(&Client { enabled, ..client }).await? {
                    Err(error) => Told::Refused(format!("{error}.")),
                    Ok(()) if enabled => Told::Done("The app may ask for access again.".to_owned()),
                    Ok(()) => Told::Done("The app may do nothing any more.".to_owned()),
                }
            }
            Order::RemoveClient(id) => match self.remove_client(id).await? {
                true => Told::Done("The app is removed, and all access that it had.".to_owned()),
                false => none("app"),
            },
            Order::EnableUser(name, enabled) => {
                let Some(user) = self.user(name).await? else { return Ok(none("user")) };
                if user.sub == by.sub {
                    return Ok(Told::Refused("You cannot lock yourself out.".to_owned()));
                }
                self.put_user(&User { enabled, ..user }).await?;
                Told::Done(match enabled {
                    true => "They may log in again.".to_owned(),
                    false => "They are logged out, and what they granted is taken back.".to_owned(),
                })
            }
            Order::CancelJob(id) => match self.services.jobs.cancel(id)? {
                true => Told::Done("The job and its files are removed.".to_owned()),
                false => none("job"),
            },
        })
    }

    /// Registers the app that was typed into the form; a secret of its own is told once.
    async fn register_typed(&self, request: &Request) -> Result<Told, ServerError> {
        let typed = |name: &str| request.get(name).unwrap_or_default().trim();
        let words = |name: &str| typed(name).split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let (id, name) = (typed("id"), typed("name"));
        let refused = |why: &str| Ok(Told::Refused(why.to_owned()));
        if name.is_empty() {
            return refused("Say what the app is called.");
        }
        if self.client(id).await?.is_some() {
            return refused("There is an app of that id already.");
        }
        let mut secret = None;
        let authentication = match typed("how") {
            "public" => Authentication::Public,
            "secret" => {
                let made = new_secret()?;
                let kept = Authentication::secret(&made);
                secret = Some(made);
                match kept {
                    Ok(kept) => kept,
                    Err(error) => return refused(&format!("{error}.")),
                }
            }
            "keys" => Authentication::KeysAt(typed("jwks_url").to_owned()),
            _ => return refused("Say how the app proves who it is."),
        };
        let launch_uri = Some(typed("launch_uri").to_owned()).filter(|uri| !uri.is_empty());
        let client = Client {
            authentication,
            redirect_uris: words("redirect_uris"),
            launch_uri,
            scopes: words("scopes").join(" "),
            backend: request.get("backend").is_some(),
            ..Client::new(id, &cleaned(name))
        };
        Ok(match (self.put_client(&client).await?, secret) {
            (Err(error), _) => Told::Refused(format!("{error}.")),
            (Ok(()), Some(secret)) => Told::Secret { id: client.id, secret },
            (Ok(()), None) => Told::Done("The app is registered.".to_owned()),
        })
    }
}
