//! Who works on human tasks.

use std::sync::Arc;

use auterity_core::Scope;
use auterity_core::engine::Person;
use auterity_tenancy::{Member, Permission};

use crate::error::{Code, Problem};
use crate::scope::Caller;
use crate::services::Context;

/// Gives the caller as a person, with the address and the role that are kept now.
pub(super) async fn caller(context: &Context, caller: &Caller) -> Result<Person, Problem> {
    let me = context.identity().me(caller.principal()).await?;
    Ok(Person {
        id: me.user.id,
        email: Some(Arc::from(me.user.email)),
        roles: vec![me.role.name().to_owned()],
        manages: Permission::HumanTaskManage.is_granted_to(me.role),
    })
}

/// Finds whom a task is to be handed on to.
pub(super) async fn receiver(
    context: &Context,
    scope: &Scope,
    who: &str,
) -> Result<Person, Problem> {
    let found = context.identity().member(scope, who).await?;
    let may = |member: &Member| Permission::HumanTaskAnswer.is_granted_to(member.role);
    match found {
        Some(member) if may(&member) => Ok(Person {
            id: member.id,
            email: Some(Arc::from(member.email)),
            roles: vec![member.role.name().to_owned()],
            manages: false,
        }),
        Some(_) => Err(wrong("may not answer human tasks; change the role first")),
        None => Err(wrong("is no member of this tenant")),
    }
}

fn wrong(detail: &str) -> Problem {
    let errors = vec![crate::error::Pointed::new("/to", detail)];
    let detail = format!("the task was not handed on: the person {detail}");
    Problem::new(Code::ValidationFailed, detail).with_errors(errors)
}
