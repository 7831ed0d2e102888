//! `POST /api/v1/query {"sql": …}`: a query over the tables of every resource that has some.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use connector::Table;
use engine::query::{ErrorKind, Limits};
use serde_json::json;

use crate::reply::{Refusal, V1, data};
use crate::request::{Body, required};
use crate::state::{Shared, State as Inner};

pub(crate) async fn run(State(state): State<Shared>, body: Body) -> Response {
    data(answer(&state, body).await)
}

async fn answer(state: &Inner, body: Body) -> V1 {
    let body = body.0?;
    let sql = required(&body, "sql")?;
    let wanted = match body.get("limit") {
        None => state.query_rows_max,
        Some(limit) => {
            let limit = limit.as_u64().ok_or_else(|| Refusal::invalid("limit must be a whole number of rows"))?;
            usize::try_from(limit).unwrap_or(usize::MAX)
        }
    };
    let limits = Limits { rows_max: wanted.min(state.query_rows_max), ..Limits::default() };
    let tables = tables(state).await?;
    let result = engine::query::run(tables, sql, limits).await.map_err(|error| {
        let status = match error.kind {
            ErrorKind::UnknownTable => StatusCode::NOT_FOUND,
            ErrorKind::Parse | ErrorKind::Plan | ErrorKind::Refused => StatusCode::BAD_REQUEST,
            ErrorKind::Memory | ErrorKind::Execution => StatusCode::UNPROCESSABLE_ENTITY,
        };
        Refusal::new(status, error.to_string())
    })?;
    let columns: Vec<_> =
        result.columns.iter().map(|column| json!({"name": column.name, "type": column.data_type})).collect();
    Ok(json!({"columns": columns, "rows": result.rows, "truncated": result.truncated}))
}

/// A snapshot of the tables of every resource that has some. Of two tables with one name the first resource's is taken.
async fn tables(state: &Inner) -> Result<Vec<Table>, Refusal> {
    let mut tables: Vec<Table> = Vec::new();
    for resource in state.resources.list() {
        // A stopped or broken resource has no client; its tables are simply not there.
        let Ok(client) = state.resources.client(&resource.id) else { continue };
        let Some(source) = client.tables() else { continue };
        let found = source.snapshot().await;
        let found =
            found.map_err(|error| Refusal::new(StatusCode::BAD_GATEWAY, format!("{}: {error}", resource.id)))?;
        for table in found {
            if !tables.iter().any(|known| known.name == table.name) {
                tables.push(table);
            }
        }
    }
    Ok(tables)
}
