//! `/api/v3/mqtt/…`: publish, subscribe and unsubscribe, one at a time or many (manual §16.8).

use axum::extract::State;
use serde_json::{Value as Json, json};

use crate::publish;
use crate::reply::{Data, Refusal, V3};
use crate::request::Body;
use crate::state::Shared;

/// Most items of one batch.
const BATCH_MAX: usize = 1_000;

pub(crate) async fn publish_one(State(state): State<Shared>, Body(body): Body) -> V3 {
    publish::publish(&state, &body?).await?;
    Ok(Data::Nothing)
}

pub(crate) async fn subscribe_one(State(state): State<Shared>, Body(body): Body) -> V3 {
    publish::subscribe(&state, &body?).await?;
    Ok(Data::Nothing)
}

pub(crate) async fn unsubscribe_one(State(state): State<Shared>, Body(body): Body) -> V3 {
    publish::unsubscribe(&state, &body?).await?;
    Ok(Data::Nothing)
}

/// The three things a batch can be of.
#[derive(Clone, Copy)]
enum Act {
    Publish,
    Subscribe,
    Unsubscribe,
}

pub(crate) async fn publish_batch(State(state): State<Shared>, Body(body): Body) -> V3 {
    batch(&state, &body?, Act::Publish).await
}

pub(crate) async fn subscribe_batch(State(state): State<Shared>, Body(body): Body) -> V3 {
    batch(&state, &body?, Act::Subscribe).await
}

pub(crate) async fn unsubscribe_batch(State(state): State<Shared>, Body(body): Body) -> V3 {
    batch(&state, &body?, Act::Unsubscribe).await
}

/// Every item is tried; the answer says of each how it went, in their order.
async fn batch(state: &Shared, body: &Json, act: Act) -> V3 {
    let items = body.as_array().ok_or_else(|| Refusal::invalid("the body must be a list"))?;
    if items.len() > BATCH_MAX {
        return Err(Refusal::invalid(format!("at most {BATCH_MAX} items at a time")).into());
    }
    let mut answers = Vec::with_capacity(items.len());
    for item in items {
        let result = match act {
            Act::Publish => publish::publish(state, item).await.map(|_| ()),
            Act::Subscribe => publish::subscribe(state, item).await,
            Act::Unsubscribe => publish::unsubscribe(state, item).await,
        };
        let mut answer = json!({"topic": item.get("topic"), "code": 0});
        if let (Err(refusal), Some(answer)) = (result, answer.as_object_mut()) {
            answer.insert("code".to_owned(), json!(refusal.status.as_u16()));
            answer.insert("message".to_owned(), json!(refusal.message));
        }
        answers.push(answer);
    }
    Ok(Data::List { items: answers, meta: None })
}
