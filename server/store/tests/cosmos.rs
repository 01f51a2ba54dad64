//! The Cosmos engine before its first commit: how it connects, what it makes, what it says when it cannot.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

mod fixture;

use std::sync::Arc;

use azure_core::credentials::{AccessToken, Secret, TokenCredential, TokenRequestOptions};
use azure_core::time::{Duration, OffsetDateTime};
use cosmos_emulator::{Account, Effect, Fault, Operation, Options, TOKEN};
use engines::CosmosPlace;
use fixture::FourElements;
use store::cosmos::{AccountOptions, CosmosOptions, Credential, Made, Throughput, init};
use store::{Store, StoreError};

/// Gives one token to all who ask.
#[derive(Debug)]
struct Token(&'static str);

#[async_trait::async_trait]
impl TokenCredential for Token {
    async fn get_token(
        &self,
        _: &[&str],
        _: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        Ok(AccessToken::new(self.0, OffsetDateTime::now_utc() + Duration::hours(1)))
    }
}

fn entra(mut options: CosmosOptions, token: &'static str) -> CosmosOptions {
    for account in options.accounts.values_mut() {
        account.credential = Credential::Entra(Arc::new(Token(token)));
    }
    options
}

async fn emulated() -> CosmosPlace {
    CosmosPlace::emulated(&Options::default(), Throughput::Account).await
}

/// How to reach an account that has nothing yet.
fn options_of(account: &Account) -> CosmosOptions {
    let reached = AccountOptions::from_connection_string(&account.connection_string()).unwrap();
    CosmosOptions::single(reached, "vesta", "fhir")
}

async fn refusal(options: CosmosOptions) -> String {
    match Store::open_cosmos(options, FourElements::new()).await {
        Err(StoreError::Unavailable(sentence)) => sentence,
        Err(other) => panic!("refused otherwise: {other:?}"),
        Ok(_) => panic!("it was opened"),
    }
}

#[tokio::test]
async fn init_makes_what_is_missing_once() {
    let account = Account::start().unwrap();
    let options = options_of(&account);
    let nothing = Made { database: false, container: false };
    assert_eq!(
        init(&options, &options.default, Throughput::Manual(400)).await.unwrap(),
        Made { database: true, container: true }
    );
    assert_eq!(init(&options, &options.default, Throughput::Manual(400)).await.unwrap(), nothing);
    let mut other = options.default.clone();
    other.container = "other".into();
    assert_eq!(
        init(&options, &other, Throughput::Account).await.unwrap(),
        Made { database: false, container: true }
    );
    Store::open_cosmos(options, FourElements::new()).await.unwrap();
}

#[tokio::test]
async fn two_that_init_at_once_both_find_it_made() {
    let account = Account::start().unwrap();
    let options = options_of(&account);
    let run = || init(&options, &options.default, Throughput::Account);
    let (one, other) = tokio::join!(run(), run());
    let (one, other) = (one.unwrap(), other.unwrap());
    assert!(one.database != other.database && one.container != other.container, "{one:?} {other:?}");
}

#[tokio::test]
async fn a_token_of_entra_opens_and_makes_nothing() {
    let place = emulated().await;
    let options = entra(place.options.clone(), TOKEN);
    Store::open_cosmos(options.clone(), FourElements::new()).await.unwrap();
    let mut home = options.default.clone();
    home.container = "other".into();
    let refused = init(&options, &home, Throughput::Account).await.unwrap_err().to_string();
    assert!(refused.contains("run this command with the account's key"), "{refused}");
    let refused = refusal(entra(place.options.clone(), "another")).await;
    assert!(refused.contains("refuses the credential"), "{refused}");
}

#[tokio::test]
async fn what_cannot_be_opened_says_what_to_do() {
    let place = emulated().await;
    let good = &place.options;
    let (endpoint, account) = (place.account().endpoint(), "the account default at");

    let mut options = good.clone();
    options.accounts.get_mut("default").unwrap().credential = Credential::Key(Secret::from("c2VjcmV0"));
    assert_eq!(
        refusal(options).await,
        format!(
            "{account} {endpoint} refuses the credential; configure its present key, or an identity it knows"
        )
    );

    let mut options = good.clone();
    options.default.container = "missing".into();
    assert_eq!(
        refusal(options).await,
        "there is not the container vesta/missing of the account default; make it by `vesta cosmos init`"
    );

    let mut options = good.clone();
    options.default.database = "missing".into();
    assert_eq!(
        refusal(options).await,
        "there is not the container missing/fhir of the account default; make it by `vesta cosmos init`"
    );

    let mut options = good.clone();
    options.default.account = "missing".into();
    assert_eq!(
        refusal(options).await,
        "the table of tenants names the account missing, which is not configured; configure it"
    );

    let mut options = good.clone();
    options.accounts.get_mut("default").unwrap().endpoint = "http://example.org/".into();
    let refused = refusal(options).await;
    assert!(refused.starts_with("the account default at http://example.org/"), "{refused}");

    let mut options = good.clone();
    options.accounts.get_mut("default").unwrap().endpoint = "http://127.0.0.1:9/".into();
    let refused = refusal(options).await;
    assert!(refused.starts_with("the account default at http://127.0.0.1:9/ cannot be reached"), "{refused}");
}

#[tokio::test]
async fn a_container_with_another_key_is_refused() {
    let account = Account::start().unwrap();
    account.make_container("vesta", "fhir", &["/id"]).unwrap();
    let options = options_of(&account);
    let sentence = "the container vesta/fhir has the partition key /id, and the store needs /tn, /ty, /rid; name \
                    another container and make it by `vesta cosmos init`";
    assert_eq!(refusal(options.clone()).await, sentence);
    let refused = init(&options, &options.default, Throughput::Account).await.unwrap_err();
    assert_eq!(refused.to_string(), format!("the store is not available: {sentence}"));
}

#[tokio::test]
async fn metadata_that_fails_for_a_while_is_waited_for() {
    let place = emulated().await;
    let fault = Fault::unavailable().on(&[Operation::Metadata]).times(2);
    let fault = place.account().inject(fault);
    place.open(FourElements::new()).await;
    assert_eq!(fault.happened(), 2);
    place.account().inject(Fault::new(Effect::Dropped).on(&[Operation::Metadata]));
    let refused = refusal(place.options.clone()).await;
    assert!(refused.contains("cannot be reached"), "{refused}");
}
