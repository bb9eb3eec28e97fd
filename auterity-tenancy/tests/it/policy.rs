use std::fmt::Write as _;

use auterity_tenancy::{Permission, Role};
use expect_test::expect;

#[test]
fn role_table_is_as_agreed() {
    let mut table = format!("{:<18}", "");
    for role in Role::ALL {
        write!(table, "{:<10}", role.name()).unwrap();
    }
    for permission in Permission::ALL {
        write!(table, "\n{:<18}", permission.name()).unwrap();
        for role in Role::ALL {
            let mark = if permission.is_granted_to(role) {
                "yes"
            } else {
                "-"
            };
            write!(table, "{mark:<10}").unwrap();
        }
    }
    let table: Vec<_> = table.lines().map(str::trim_end).collect();
    expect![[r"
                          owner     admin     editor    operator  viewer
        tenant:read       yes       yes       yes       yes       yes
        tenant:update     yes       yes       -         -         -
        tenant:delete     yes       -         -         -         -
        member:read       yes       yes       yes       yes       yes
        member:manage     yes       yes       -         -         -
        workflow:read     yes       yes       yes       yes       yes
        workflow:deploy   yes       yes       yes       -         -
        workflow:delete   yes       yes       yes       -         -
        execution:read    yes       yes       yes       yes       yes
        execution:start   yes       yes       yes       yes       -
        execution:cancel  yes       yes       yes       yes       -
        execution:repair  yes       yes       yes       yes       -
        schedule:read     yes       yes       yes       yes       yes
        schedule:control  yes       yes       yes       yes       -
        schedule:manage   yes       yes       yes       -         -
        human_task:read   yes       yes       yes       yes       yes
        human_task:answer yes       yes       yes       yes       -
        human_task:manage yes       yes       -         -         -
        event:publish     yes       yes       yes       yes       -"]]
    .assert_eq(&table.join("\n"));
}

#[test]
fn a_stronger_role_may_do_all_that_a_weaker_one_may() {
    for pair in Role::ALL.windows(2) {
        for permission in Permission::ALL {
            let (stronger, weaker) = (pair[0], pair[1]);
            assert!(!permission.is_granted_to(weaker) || permission.is_granted_to(stronger));
        }
    }
}
