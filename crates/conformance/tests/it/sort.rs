//! SORT and SORT_RO.

use crate::check_encodings;

#[test]
fn sort() {
    check_encodings(
        r#"
        RPUSH l 3 1 2 10 -5
        SORT l
        SORT l DESC
        SORT l ASC
        SORT l ALPHA
        SORT l ALPHA DESC
        SORT l LIMIT 1 2
        SORT l LIMIT -1 2
        SORT l LIMIT 1 -1
        SORT l LIMIT 100 1
        SORT l LIMIT 1
        SORT l LIMIT x 1
        SORT none
        SORT l foo
        SORT
        RPUSH w b a c
        SORT w
        SORT w ALPHA
        SADD s 5 3 9
        SORT s
        ZADD z 1 30 2 20 3 10
        SORT z
        SORT z BY nosort
        SORT z BY nosort DESC
        SORT z BY nosort LIMIT 1 1
        MSET weight_1 30 weight_2 20 weight_3 10
        SORT l BY weight_* 
        RPUSH ids 1 2 3
        SORT ids BY weight_*
        SORT ids BY weight_* DESC
        SORT ids BY nokey
        MSET obj_1 one obj_2 two
        SORT ids GET obj_*
        SORT ids GET # GET obj_*
        SORT ids BY weight_* GET obj_* GET #
        HSET h_1 name uno w 5
        HSET h_2 name dos w 4
        HSET h_3 name tres w 9
        SORT ids BY h_*->w
        SORT ids BY h_*->w GET h_*->name
        SORT ids GET h_*->none
        SORT ids GET obj_*->x
        SORT ids STORE d
        LRANGE d 0 -1
        SORT none STORE d
        EXISTS d
        SORT ids BY weight_* GET obj_* STORE d
        LRANGE d 0 -1
        TYPE d
        SORT_RO ids
        SORT_RO ids BY weight_* GET obj_*
        SORT_RO ids STORE d
        SORT_RO ids DESC LIMIT 0 2
        SET k v
        SORT k
        SORT_RO k
        HSET hh a 1
        SORT hh
        SORT ids BY
        SORT ids GET
        SORT ids STORE
        RPUSH f 1.5 1.25 -3e2 0
        SORT f
        RPUSH e 1 "" 2
        SORT e =?> (err) ERR One or more scores can't be converted into double
        SORT e ALPHA
        "#,
    );
}
