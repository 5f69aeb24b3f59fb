//! SORT and SORT_RO.

use crate::bitmap::{facts_agree, walk};
use crate::{check_encodings, redis7_pair};
use ochre_testkit::oracle::Resp;

#[test]
fn facts() {
    facts_agree(&["sort", "sort_ro"]);
}

#[test]
fn walk_over_the_family() {
    walk(&["sort", "sort_ro"]);
}

#[test]
fn orders_and_limits() {
    check_encodings(
        r#"
        RPUSH l 3 1 10 2 -5 1.5 1e2 0x10 inf -inf
        SORT l
        SORT l DESC
        SORT l ALPHA
        SORT l ALPHA DESC
        SORT l ASC DESC ALPHA ASC
        SORT l LIMIT 1 2
        SORT l LIMIT 0 0
        SORT l LIMIT -1 3
        SORT l LIMIT 8 100
        SORT l LIMIT 100 1
        SORT l LIMIT 2 -1
        SORT l LIMIT 2 -1 LIMIT 0 1
        SORT l LIMIT 9223372036854775807 9223372036854775807
        SORT l BY nosort
        SORT l BY nosort DESC
        SORT l BY nosort LIMIT 2 3
        SORT_RO l
        SORT_RO l DESC LIMIT 0 3
        SORT none
        SORT none GET #
        SADD ints 5 3 9 1
        SORT ints
        SORT ints DESC LIMIT 1 2
        SADD words banana apple cherry ""
        SORT words ALPHA
        SORT words ALPHA DESC
        ~unordered SORT words BY nosort
        ZADD z 3 a 1 c 2 b
        SORT z ALPHA
        SORT z BY nosort
        SORT z BY nosort DESC
        SORT z BY nosort LIMIT 1 1
        SORT z BY nosort DESC LIMIT 1 10
        RPUSH same 1 1.0 01 1e0
        SORT same
        SORT same DESC
        RPUSH blank "" " 1" 0
        SORT blank
        RPUSH text a b
        SORT text
        SORT text DESC LIMIT 0 1
        RPUSH nan nan
        SORT nan
        RPUSH trailing "1 "
        SORT trailing
        RPUSH huge 1e999
        SORT huge
        SORT z
        "#,
    );
}

#[test]
fn patterns() {
    check_encodings(
        r#"
        RPUSH l 3 1 10 2
        MSET w_1 30 w_2 20 w_3 10 v_1 one v_2 two v_3 three t_1 x t_2 x t_3 a
        HSET h_1 name b weight 2 w->x 7
        HSET h_2 name a weight 1
        RPUSH r_1 a
        SORT l BY w_*
        SORT l BY w_* DESC
        SORT l BY w_* GET # GET v_*
        SORT l BY w_* GET v_* LIMIT 1 2
        SORT l BY v_* ALPHA
        SORT l BY v_* ALPHA DESC
        SORT l BY h_*->weight
        SORT l BY h_*->weight DESC GET h_*->name
        SORT l BY h_*->name ALPHA
        SORT l BY none_*
        SORT l BY none_* DESC
        SORT l BY r_*
        SORT l BY v_*
        SORT l BY h_*->name
        SORT l GET h_*
        SORT l GET v_*->name
        SORT l GET h_*->w->x
        SORT l GET h_*->
        SORT l GET none
        SORT l GET # GET #
        SORT l GET v_* GET h_*->name GET w_*
        SORT l GET *
        SORT l GET v_*x*
        SORT l BY #
        SORT l BY # DESC
        SORT l BY w_* BY nosort
        SORT l BY nosort BY w_*
        SET v_1-> arrow
        SORT l GET v_*->
        SET w_10 x
        SORT l BY w_*
        SORT l BY w_* ALPHA
        SORT_RO l BY w_* ALPHA GET v_*
        PEXPIRE w_10 1
        @until 0 EXISTS w_10
        SORT l BY w_* GET w_*
        "#,
    );
}

#[test]
fn stores() {
    check_encodings(
        r#"
        RPUSH l 3 1 10 2
        MSET v_1 one v_2 two
        SORT l STORE d
        LRANGE d 0 -1
        TYPE d
        SORT l GET v_* GET # STORE d
        LRANGE d 0 -1
        SORT l BY nosort STORE d LIMIT 1 2
        LRANGE d 0 -1
        SORT l STORE a STORE l DESC
        LRANGE l 0 -1
        EXISTS a
        SET d v EX 100
        SORT l STORE d
        TTL d
        SORT none STORE d
        EXISTS d
        SORT none STORE d
        SORT l LIMIT 0 0 STORE l
        EXISTS l
        SADD words b c a
        SORT words BY nosort STORE d
        LRANGE d 0 -1
        SORT words BY nosort DESC STORE d
        LRANGE d 0 -1
        ZADD z 1 c 2 a
        SORT z BY nosort DESC STORE d
        LRANGE d 0 -1
        MULTI
        SORT words ALPHA GET # GET v_* STORE d
        LRANGE d 0 -1
        SORT d BY v_* ALPHA
        EXEC
        SORT_RO words STORE d
        "#,
    );
}

#[test]
fn refusals() {
    check_encodings(
        r#"
        RPUSH l 3 1
        SET s v
        SORT s
        SORT s foo
        SORT l foo
        SORT l BY
        SORT l GET
        SORT l LIMIT
        SORT l LIMIT 1
        SORT l LIMIT x 1
        SORT l LIMIT 1 x
        SORT l STORE
        SORT
        SORT_RO
        SORT_RO l STORE d
        COMMAND GETKEYS SORT l
        COMMAND GETKEYS SORT l LIMIT 1 2 STORE d
        COMMAND GETKEYS SORT_RO l ALPHA
        "#,
    );
}

/// Weights that are equal are told apart by bytes; enough elements for every path of the selection.
#[test]
fn many_elements() {
    let mut pair = redis7_pair(&[]);
    pair.restart(Resp::Two, "many");
    let mut args = vec!["RPUSH".to_owned(), "l".to_owned()];
    for n in 0..3000u64 {
        args.push((n * 7919 % 1009).to_string());
    }
    pair.run(&args, &[]);
    for n in 0..1009 {
        pair.run(&["SET".to_owned(), format!("w_{n}"), (n * 31 % 17).to_string()], &[]);
    }
    for line in [
        "SORT l",
        "SORT l DESC",
        "SORT l ALPHA",
        "SORT l LIMIT 0 10",
        "SORT l LIMIT 1500 10 DESC",
        "SORT l LIMIT 2990 100",
        "SORT l BY w_*",
        "SORT l BY w_* DESC LIMIT 100 50",
        "SORT l BY w_* LIMIT 2000 500 STORE d",
        "LRANGE d 0 -1",
    ] {
        pair.run(&line.split(' ').collect::<Vec<_>>(), &[]);
    }
    pair.finish();
}
