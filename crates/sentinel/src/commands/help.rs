//! SENTINEL HELP.

use ochre_resp::Reply;

const LINES: &[&str] = &[
    "SENTINEL <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "CKQUORUM <primary-name>",
    "    Whether enough sentinels can be reached for the quorum and for the majority that",
    "    authorizes a failover.",
    "CONFIG SET <param> <value> [<param> <value> ...]",
    "    Set what is not of one primary.",
    "CONFIG GET <pattern>",
    "    Show what is not of one primary.",
    "DEBUG [<param> <value> ...]",
    "    Show the periods of everything in milliseconds, or change some.",
    "FAILOVER <primary-name> [COORDINATED]",
    "    Fail over without asking the other sentinels. COORDINATED: the live primary hands over",
    "    to its replica, and no write is lost.",
    "FLUSHCONFIG",
    "    Write the configuration, with the state of this sentinel, to its file.",
    "GET-MASTER-ADDR-BY-NAME <primary-name>",
    "GET-PRIMARY-ADDR-BY-NAME <primary-name>",
    "    The address of the primary.",
    "INFO-CACHE <primary-name> [<primary-name> ...]",
    "    The last INFO of primaries and their replicas.",
    "IS-MASTER-DOWN-BY-ADDR <ip> <port> <current-epoch> <runid>",
    "IS-PRIMARY-DOWN-BY-ADDR <ip> <port> <current-epoch> <runid>",
    "    Whether this sentinel takes a primary for down; and its vote, if a run id is given.",
    "MASTER <primary-name>",
    "PRIMARY <primary-name>",
    "    What is known of a primary.",
    "MASTERS",
    "PRIMARIES",
    "    What is known of all primaries.",
    "MONITOR <name> <ip> <port> <quorum>",
    "    Watch one more primary.",
    "MYID",
    "    The run id of this sentinel.",
    "PENDING-SCRIPTS",
    "    The scripts that wait or run.",
    "REMOVE <primary-name>",
    "    Watch a primary no more.",
    "REPLICAS <primary-name>",
    "    What is known of the replicas of a primary.",
    "RESET <pattern>",
    "    Forget replicas, sentinels and failovers of the primaries whose names match.",
    "SENTINELS <primary-name>",
    "    What is known of the other sentinels of a primary.",
    "SET <primary-name> <option> <value> [<option> <value> ...]",
    "    Set what is of one primary.",
    "SIMULATE-FAILURE [CRASH-AFTER-ELECTION] [CRASH-AFTER-PROMOTION] [HELP]",
    "    End this process at a step of the next failover.",
    "HELP",
    "    Print this help.",
];

pub(super) fn help(reply: &mut Reply<'_>) {
    reply.array(LINES.len());
    for line in LINES {
        reply.status(line);
    }
}
