//! Filters of executions as SQL.

use sea_orm::sea_query::{Cond, Expr, ExprTrait as _, JoinType, Order, Query, SelectStatement};
use sqlx::types::Uuid;

use super::executions::LIGHT;
use super::rows::micros;
use crate::Scope;
use crate::store::{ExecutionQuery, Filter, Status, Test};

/// How an execution's row in the queue is found.
const QUEUED: &str = "q.tenant = e.tenant AND q.execution = e.id";

/// Whether somebody stopped it for a while, and that nobody did. Not an `EXISTS`, for
/// which PostgreSQL reads the whole table as long as it is small.
const STOPPED: &str = "(SELECT 1 FROM suspension s
    WHERE s.tenant = q.tenant AND s.execution = q.execution) = 1";
const GOING_ON: &str = "(SELECT 1 FROM suspension s
    WHERE s.tenant = q.tenant AND s.execution = q.execution) IS NULL";

/// The table whose index gives rows in order of start time and id: its alias and what
/// it calls the id.
type Lead = (&'static str, &'static str);

/// Makes the read of a page of executions and one row more.
pub(super) fn select(scope: &Scope, query: &ExecutionQuery) -> SelectStatement {
    let tenant = scope.tenant().as_uuid();
    let mut select = Query::select();
    select
        .expr(Expr::cust(LIGHT))
        .from_as("execution", "e")
        .and_where(Expr::col(("e", "tenant")).eq(tenant));
    join_queue(&mut select, &query.filter.statuses());
    let attributes = join_attributes(&mut select, tenant, &query.filter);
    let (table, id) = attributes.unwrap_or(("e", "id"));
    for term in query.filter.terms() {
        if let Some(condition) = condition(tenant, &term.test) {
            select.cond_where(if term.negated {
                condition.not()
            } else {
                condition
            });
        }
    }
    let place = ["started_at", id].map(|column| Expr::col((table, column)));
    if let Some((at, id)) = query.before {
        let before = [Expr::val(micros(at)), Expr::val(id.as_uuid())];
        select.and_where(Expr::tuple(place.clone()).lt(Expr::tuple(before)));
    }
    for column in place {
        select.order_by_expr(column, Order::Desc);
    }
    select.limit(u64::from(query.limit) + 1).take()
}

/// Joins the queue, where active executions stand, and selects the statuses.
fn join_queue(select: &mut SelectStatement, statuses: &[Status]) {
    let ends = statuses.iter().filter(|status| status.is_ended());
    let ends: Vec<&str> = ends.map(|status| status.as_str()).collect();
    let join = match ends.as_slice() {
        [] => JoinType::InnerJoin,
        _ => JoinType::LeftJoin,
    };
    select.join_as(join, "queue", "q", Expr::cust(QUEUED));
    if statuses == [Status::Suspended] {
        let stopped = "s.tenant = q.tenant AND s.execution = q.execution";
        select.join_as(JoinType::InnerJoin, "suspension", "s", Expr::cust(stopped));
        return;
    }
    if statuses.len() == Status::ALL.len() {
        return;
    }
    let mut standing = Cond::any();
    if !ends.is_empty() {
        standing = standing.add(Expr::col(("e", "status")).is_in(ends));
    }
    for status in statuses {
        let place = match status {
            Status::Pending => "(q.ready OR q.held)",
            Status::Running => "q.owner IS NOT NULL",
            Status::Waiting => "NOT q.ready AND NOT q.held AND q.owner IS NULL",
            Status::Suspended => {
                standing = standing.add(Expr::cust(STOPPED));
                continue;
            }
            Status::Completed | Status::Faulted | Status::Cancelled => continue,
        };
        standing = standing.add(Cond::all().add(Expr::cust(place)).add(Expr::cust(GOING_ON)));
    }
    if standing.is_empty() {
        standing = standing.add(Expr::cust("1 = 0"));
    }
    select.cond_where(standing);
}

/// Joins the attributes that must have one value; their index then leads.
fn join_attributes(select: &mut SelectStatement, tenant: Uuid, filter: &Filter) -> Option<Lead> {
    let mut lead = None;
    // More are not read from a text; what a program adds is looked up like the others.
    let mut aliases = ["a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7"].into_iter();
    for term in filter.terms() {
        let Test::Attribute { name, values } = &term.test else {
            continue;
        };
        let ([value], false, Some(alias)) = (values.as_slice(), term.negated, aliases.next())
        else {
            continue;
        };
        let column = |column| Expr::col((alias, column));
        let on = Cond::all()
            .add(column("tenant").eq(tenant))
            .add(column("name").eq(name.as_str()))
            .add(column("value").eq(value.as_str()))
            .add(column("started_at").equals(("e", "started_at")))
            .add(column("execution").equals(("e", "id")));
        select.join_as(JoinType::InnerJoin, "attribute", alias, on);
        lead = lead.or(Some((alias, "execution")));
    }
    lead
}

/// The condition of a test, unless joins see to it.
fn condition(tenant: Uuid, test: &Test) -> Option<Cond> {
    let column = |column| Expr::col(("e", column));
    let condition = match test {
        Test::Status(_) => return None,
        Test::Workflow(wanted) => {
            let mut any = Cond::any();
            for (namespace, name) in wanted {
                let name = name.as_ref().map(|name| column("name").eq(name.as_str()));
                let namespace = column("namespace").eq(namespace.as_str());
                any = any.add(Cond::all().add(namespace).add_option(name));
            }
            return Some(any);
        }
        Test::Version(wanted) => column("version").is_in(wanted.iter().map(String::as_str)),
        Test::Attribute { name, values } => {
            let attribute = |column| Expr::col(("a", column));
            let found = Query::select()
                .expr(Expr::cust("1"))
                .from_as("attribute", "a")
                .and_where(attribute("tenant").eq(tenant))
                .and_where(attribute("name").eq(name.as_str()))
                .and_where(attribute("value").is_in(values.iter().map(String::as_str)))
                .and_where(attribute("started_at").equals(("e", "started_at")))
                .and_where(attribute("execution").equals(("e", "id")))
                .take();
            Expr::exists(found)
        }
        Test::StartedAfter(time) => column("started_at").gt(micros(*time)),
        Test::StartedBefore(time) => column("started_at").lt(micros(*time)),
        Test::EndedAfter(time) => column("ended_at").gt(micros(*time)),
        Test::EndedBefore(time) => column("ended_at").lt(micros(*time)),
        // Not unknown for an execution without a parent, so that it can be turned round.
        Test::Parent(wanted) => {
            let wanted = column("parent").is_in(wanted.iter().map(|id| id.as_uuid()));
            return Some(Cond::all().add(column("parent").is_not_null()).add(wanted));
        }
    };
    Some(Cond::all().add(condition))
}
