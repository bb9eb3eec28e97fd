//! Filters of executions as SQL.

use sea_orm::sea_query::{Cond, Expr, ExprTrait as _, JoinType, Order, Query, SelectStatement};
use sqlx::types::Uuid;

use super::executions::LIGHT;
use super::rows::micros;
use crate::Scope;
use crate::store::fault::COUNTED_MAX;
use crate::store::{ExecutionQuery, FaultSignature, Filter, Status, Term, Test};

/// How an execution's row in the queue is found.
const QUEUED: &str = "q.tenant = e.tenant AND q.execution = e.id";

/// Whether somebody stopped it for a while, and that nobody did. Not an `EXISTS`, for
/// which PostgreSQL reads the whole table as long as it is small.
const STOPPED: &str = "(SELECT 1 FROM suspension s
    WHERE s.tenant = q.tenant AND s.execution = q.execution) = 1";
const GOING_ON: &str = "(SELECT 1 FROM suspension s
    WHERE s.tenant = q.tenant AND s.execution = q.execution) IS NULL";

/// The alias of the table of ends that were no completions.
const ENDS: &str = "x";

/// The table whose index gives rows in order of start time and id: its alias and what
/// it calls the id.
type Lead = (&'static str, &'static str);

/// Makes the read of a page of executions and one row more.
pub(super) fn page(scope: &Scope, query: &ExecutionQuery) -> SelectStatement {
    let (mut select, lead) = selected(scope, &query.filter);
    select.expr(Expr::cust(LIGHT));
    if let Some((at, id)) = query.before {
        let before = [Expr::val(micros(at)), Expr::val(id.as_uuid())];
        select.and_where(Expr::tuple(place(lead)).lt(Expr::tuple(before)));
    }
    for column in place(lead) {
        select.order_by_expr(column, Order::Desc);
    }
    select.limit(u64::from(query.limit) + 1).take()
}

/// Makes the read of groups of faults and one row more: of each the execution that ended
/// last, the number and the first end; and how many executions were counted.
pub(super) fn faults(scope: &Scope, filter: &Filter, limit: u32) -> SelectStatement {
    let filter = filter.clone().and(Test::Status(vec![Status::Faulted]));
    let (mut faulted, lead) = selected(scope, &filter);
    faulted.columns([(ENDS, "fault"), (ENDS, "execution"), (ENDS, "ended_at")]);
    for column in place(lead) {
        faulted.order_by_expr(column, Order::Desc);
    }
    faulted.limit(u64::from(COUNTED_MAX) + 1);
    let placed = Query::select()
        .expr(Expr::cust(
            "fault, execution, ended_at AS last_at, count(*) OVER () AS counted,
            count(*) OVER (PARTITION BY fault) AS faults,
            min(ended_at) OVER (PARTITION BY fault) AS first_at,
            row_number() OVER (PARTITION BY fault ORDER BY ended_at DESC, execution DESC)
                AS place",
        ))
        .from_subquery(faulted, "f")
        .take();
    let light = format!("w.fault, w.faults, w.first_at, w.counted, e.error, {LIGHT}");
    Query::select()
        .expr(Expr::cust(light))
        .from_subquery(placed, "w")
        .join_as(
            JoinType::InnerJoin,
            "execution",
            "e",
            Expr::cust("e.id = w.execution"),
        )
        .join_as(JoinType::LeftJoin, "queue", "q", Expr::cust(QUEUED))
        .and_where(Expr::col(("w", "place")).eq(1))
        .and_where(Expr::col(("e", "tenant")).eq(scope.tenant().as_uuid()))
        .order_by(("w", "last_at"), Order::Desc)
        .order_by(("w", "fault"), Order::Desc)
        .limit(u64::from(limit) + 1)
        .take()
}

/// Gives the columns by which a list is ordered.
fn place((table, id): Lead) -> [Expr; 2] {
    ["started_at", id].map(|column| Expr::col((table, column)))
}

/// Begins a read of what a filter means, with what decides where to look first: an
/// attribute, the ends that were no completions, else all of the tenant.
fn selected(scope: &Scope, filter: &Filter) -> (SelectStatement, Lead) {
    let tenant = scope.tenant().as_uuid();
    let mut select = Query::select();
    select
        .from_as("execution", "e")
        .and_where(Expr::col(("e", "tenant")).eq(tenant));
    let statuses = filter.statuses();
    join_queue(&mut select, &statuses);
    let ends = join_ends(&mut select, tenant, (filter, &statuses));
    let attributes = join_attributes(&mut select, tenant, filter);
    let lead = attributes.or(ends).unwrap_or(("e", "id"));
    for term in filter.terms() {
        if ends.is_some() && is_fault(term).is_some() {
            continue;
        }
        if let Some(condition) = condition(tenant, lead, &term.test) {
            select.cond_where(if term.negated {
                condition.not()
            } else {
                condition
            });
        }
    }
    (select, lead)
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
        let going_on = Cond::all().add(Expr::cust(place)).add(Expr::cust(GOING_ON));
        standing = standing.add(going_on);
    }
    if standing.is_empty() {
        standing = standing.add(Expr::cust("1 = 0"));
    }
    select.cond_where(standing);
}

/// Joins the table of ends that were no completions if all that is meant is in it; its
/// index then leads.
fn join_ends(
    select: &mut SelectStatement,
    tenant: Uuid,
    (filter, statuses): (&Filter, &[Status]),
) -> Option<Lead> {
    let abnormal = |status: &Status| matches!(status, Status::Faulted | Status::Cancelled);
    if !statuses.iter().all(abnormal) {
        return None;
    }
    let words = statuses.iter().map(|status| status.as_str());
    let mut on = Cond::all()
        .add(Expr::col((ENDS, "tenant")).eq(tenant))
        .add(Expr::col((ENDS, "execution")).equals(("e", "id")))
        .add(Expr::col((ENDS, "status")).is_in(words));
    for faults in filter.terms().iter().filter_map(is_fault) {
        let bits = faults.iter().map(|fault| fault.to_bits());
        on = on.add(Expr::col((ENDS, "fault")).is_in(bits));
    }
    select.join_as(JoinType::InnerJoin, "abnormal_end", ENDS, on);
    Some((ENDS, "execution"))
}

/// Gives the faults of which an execution must have ended with one.
fn is_fault(term: &Term) -> Option<&[FaultSignature]> {
    match &term.test {
        Test::Fault(faults) if !term.negated => Some(faults),
        _ => None,
    }
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
fn condition(tenant: Uuid, lead: Lead, test: &Test) -> Option<Cond> {
    let column = |column| Expr::col(("e", column));
    let started = Expr::col((lead.0, "started_at"));
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
        Test::StartedAfter(time) => started.gt(micros(*time)),
        Test::StartedBefore(time) => started.lt(micros(*time)),
        Test::EndedAfter(time) => column("ended_at").gt(micros(*time)),
        Test::EndedBefore(time) => column("ended_at").lt(micros(*time)),
        // Not unknown for an execution without a parent, so that it can be turned round.
        Test::Parent(wanted) => {
            let wanted = column("parent").is_in(wanted.iter().map(|id| id.as_uuid()));
            return Some(Cond::all().add(column("parent").is_not_null()).add(wanted));
        }
        Test::Fault(wanted) => {
            let end = |column| Expr::col(("n", column));
            let found = Query::select()
                .expr(Expr::cust("1"))
                .from_as("abnormal_end", "n")
                .and_where(end("tenant").eq(tenant))
                .and_where(end("execution").equals(("e", "id")))
                .and_where(end("fault").is_in(wanted.iter().map(|fault| fault.to_bits())))
                .take();
            Expr::exists(found)
        }
    };
    Some(Cond::all().add(condition))
}
