# SPDX-License-Identifier: Apache-2.0
"""What a shell script executes in the end, as far as it is certain: the script is read, not run.

    syntax       commands and words, as POSIX names them, and what of bash's entrypoints use
    parser       text -> syntax, one complete command at a time
    pattern      shell patterns: `case`, ${x#...}, [[ a == b* ]]
    state        what is known at one place: variables, parameters, functions
    expand       words -> fields
    conditions   test, [ and [[: true, false or undecided
    substitution the output of commands in $(...) that the image decides
    builtins     the shell's own commands
    reader       commands on a state: both branches where a condition is undecided
    outcome      the ends that were reached -> one answer
    wrapper      sh, bash, dash, ash: their command line

POSIX.1-2024 XCU 2, Shell Command Language; bash(1). An undecided value is an `Unsure`, and whatever is made of it is one.
"""
