"""Two threads: the machine code of the two that run the pieces of a program.

What is done, and in which pieces, is fixed when a program is lowered. The thread that runs the program does the first
list, the helper the second one; what the helper has not begun when the first thread needs it, that does itself, and
the helper waits until it is done. The results do not depend on who that was. So nothing waits for a helper that the
machine has no time for, and runs repeat bit for bit.
"""

from __future__ import annotations

import os
import platform
import sys

# So often does the helper look for work, for about half a millisecond, before it goes to sleep.
_PATIENCE = 20_000

# What a run returns that waited for the helper, once for as long as the helper's own patience.
LATE = 2**20

# Waiting: a pause, and after some of them the core is given to whoever wants it; then the block "wait" looks again.
_SPIN = """spin:
  <pause>
  %spins1 = add i64 %spins, 1
  %long = icmp sgt i64 %spins1, <patience>
  br i1 %long, label %give, label %again
give:
  %can = icmp ne ptr %yield, null
  br i1 %can, label %yielding, label %again
yielding:
  %unused = call i32 %yield()
  br label %again
again:
  br label %wait"""

# progress holds the number of the run and how many pieces of the first list are done; the words of the claim and end of
# a piece of the second list hold the number of the last run in which it was claimed and done.
RUNTIME = """
define i64 @catch_up(ptr %table, ptr %shared, ptr %pieces, i64 %from, i64 %to, i64 %run, ptr %yield) {
entry:
  %before = sub i64 %run, 1
  br label %piece
piece:
  %k = phi i64 [ %from, %entry ], [ %k1, %over ]
  %late = phi i64 [ 0, %entry ], [ %late1, %over ]
  %more = icmp slt i64 %k, %to
  br i1 %more, label %claim, label %end
claim:
  %k8 = mul i64 %k, 8
  %place = add i64 %k8, 8
  %claimed = getelementptr i64, ptr %shared, i64 %place
  %done = getelementptr i64, ptr %claimed, i64 1
  %pair = cmpxchg ptr %claimed, i64 %before, i64 %run acq_rel acquire, align 8
  %mine = extractvalue { i64, i1 } %pair, 1
  br i1 %mine, label %both, label %wait
both:
  %row = mul i64 %k, 3
  %r0 = getelementptr i64, ptr %pieces, i64 %row
  %r1 = getelementptr i64, ptr %r0, i64 1
  %records = load ptr, ptr %r0
  %count = load i64, ptr %r1
  call void @run_list(ptr %table, ptr %records, i64 %count)
  store atomic i64 %run, ptr %done release, align 8
  br label %over
wait:
  %spins = phi i64 [ 0, %claim ], [ %spins1, %again ]
  %state = load atomic i64, ptr %done acquire, align 8
  %ready = icmp eq i64 %state, %run
  br i1 %ready, label %came, label %spin
<spin>
came:
  %was = icmp sgt i64 %spins, <patience>
  %was1 = select i1 %was, i64 <much>, i64 0
  br label %over
over:
  %add = phi i64 [ 1, %both ], [ %was1, %came ]
  %late1 = add i64 %late, %add
  %k1 = add i64 %k, 1
  br label %piece
end:
  ret i64 %late
}

define i64 @run_stages(ptr %job, i64 %run, ptr %news, i64 %alone) {
entry:
  %table = load ptr, ptr %job
  %j1 = getelementptr i64, ptr %job, i64 1
  %shared = load ptr, ptr %j1
  %j2 = getelementptr i64, ptr %job, i64 2
  %pieces = load ptr, ptr %j2
  %j3 = getelementptr i64, ptr %job, i64 3
  %count = load i64, ptr %j3
  %j4 = getelementptr i64, ptr %job, i64 4
  %others = load ptr, ptr %j4
  %j5 = getelementptr i64, ptr %job, i64 5
  %others.count = load i64, ptr %j5
  %n4 = getelementptr i64, ptr %news, i64 4
  %yield = load ptr, ptr %n4
  %high = shl i64 %run, 20
  store atomic i64 %high, ptr %shared release, align 8
  %solo = icmp ne i64 %alone, 0
  br i1 %solo, label %piece, label %publish
publish:
  %n1 = getelementptr i64, ptr %news, i64 1
  %n2 = getelementptr i64, ptr %news, i64 2
  store atomic ptr %job, ptr %n1 monotonic, align 8
  store atomic i64 %run, ptr %n2 monotonic, align 8
  %number = load atomic i64, ptr %news monotonic, align 8
  %next.number = add i64 %number, 1
  store atomic i64 %next.number, ptr %news seq_cst, align 8
  %n5 = getelementptr i64, ptr %news, i64 5
  %awake = cmpxchg ptr %n5, i64 1, i64 0 seq_cst seq_cst, align 8
  %slept = extractvalue { i64, i1 } %awake, 1
  br i1 %slept, label %ring, label %piece
ring:
  %n6 = getelementptr i64, ptr %news, i64 6
  %post = load ptr, ptr %n6
  %bell = getelementptr i64, ptr %news, i64 8
  %rung = call i32 %post(ptr %bell)
  br label %piece
piece:
  %k = phi i64 [ 0, %entry ], [ 0, %publish ], [ 0, %ring ], [ %k1, %own ]
  %caught = phi i64 [ 0, %entry ], [ 0, %publish ], [ 0, %ring ], [ %caught1, %own ]
  %late = phi i64 [ 0, %entry ], [ 0, %publish ], [ 0, %ring ], [ %late1, %own ]
  %progress = or i64 %high, %k
  store atomic i64 %progress, ptr %shared release, align 8
  %more = icmp slt i64 %k, %count
  br i1 %more, label %begin, label %end
begin:
  %row = mul i64 %k, 3
  %r0 = getelementptr i64, ptr %pieces, i64 %row
  %r1 = getelementptr i64, ptr %r0, i64 1
  %r2 = getelementptr i64, ptr %r0, i64 2
  %records = load ptr, ptr %r0
  %records.count = load i64, ptr %r1
  %needs = load i64, ptr %r2
  %waits = icmp sgt i64 %needs, %caught
  br i1 %waits, label %catch, label %own
catch:
  %came = call i64 @catch_up(ptr %table, ptr %shared, ptr %others, i64 %caught, i64 %needs, i64 %run, ptr %yield)
  br label %own
own:
  %caught1 = phi i64 [ %caught, %begin ], [ %needs, %catch ]
  %add = phi i64 [ 0, %begin ], [ %came, %catch ]
  %late1 = add i64 %late, %add
  call void @run_list(ptr %table, ptr %records, i64 %records.count)
  %k1 = add i64 %k, 1
  br label %piece
end:
  %rest = call i64 @catch_up(ptr %table, ptr %shared, ptr %others, i64 %caught, i64 %others.count, i64 %run, ptr %yield)
  %all = add i64 %late, %rest
  %last = or i64 %high, 1048575
  store atomic i64 %last, ptr %shared release, align 8
  ret i64 %all
}

define ptr @help(ptr %news) {
entry:
  %n5 = getelementptr i64, ptr %news, i64 5
  %n7 = getelementptr i64, ptr %news, i64 7
  %pause = load ptr, ptr %n7
  %bell = getelementptr i64, ptr %news, i64 8
  %n1 = getelementptr i64, ptr %news, i64 1
  %n2 = getelementptr i64, ptr %news, i64 2
  %n3 = getelementptr i64, ptr %news, i64 3
  %n4 = getelementptr i64, ptr %news, i64 4
  %yield = load ptr, ptr %n4
  br label %look
look:
  %idle = phi i64 [ 0, %entry ], [ %idle1, %nothing ], [ 0, %seen ], [ 0, %leave ], [ 0, %stay ], [ 0, %wait.bell ]
  %number = load atomic i64, ptr %news acquire, align 8
  %last = load i64, ptr %n3
  %new = icmp ne i64 %number, %last
  br i1 %new, label %seen0, label %nothing
nothing:
  <pause>
  %idle1 = add i64 %idle, 1
  %enough = icmp sgt i64 %idle1, <patience>
  br i1 %enough, label %sleep, label %look
sleep:
  store atomic i64 1, ptr %n5 seq_cst, align 8
  %latest = load atomic i64, ptr %news seq_cst, align 8
  %missed = icmp ne i64 %latest, %last
  br i1 %missed, label %stay, label %wait.bell
stay:
  %open = cmpxchg ptr %n5, i64 1, i64 0 seq_cst seq_cst, align 8
  %undone = extractvalue { i64, i1 } %open, 1
  br i1 %undone, label %look, label %wait.bell
wait.bell:
  %waited = call i32 %pause(ptr %bell)
  br label %look
seen0:
  %job = load atomic ptr, ptr %n1 acquire, align 8
  %run = load atomic i64, ptr %n2 acquire, align 8
  store i64 %number, ptr %n3
  br label %seen
seen:
  %now = load atomic i64, ptr %news acquire, align 8
  %same = icmp eq i64 %now, %number
  %some = icmp ne ptr %job, null
  %good = and i1 %same, %some
  br i1 %good, label %take, label %look
take:
  %table = load ptr, ptr %job
  %j1 = getelementptr i64, ptr %job, i64 1
  %shared = load ptr, ptr %j1
  %j4 = getelementptr i64, ptr %job, i64 4
  %pieces = load ptr, ptr %j4
  %j5 = getelementptr i64, ptr %job, i64 5
  %count = load i64, ptr %j5
  %before = sub i64 %run, 1
  br label %piece
piece:
  %k = phi i64 [ 0, %take ], [ %k1, %following ]
  %more = icmp slt i64 %k, %count
  br i1 %more, label %begin, label %leave
leave:
  br label %look
begin:
  %row = mul i64 %k, 3
  %r0 = getelementptr i64, ptr %pieces, i64 %row
  %r1 = getelementptr i64, ptr %r0, i64 1
  %r2 = getelementptr i64, ptr %r0, i64 2
  %records = load ptr, ptr %r0
  %records.count = load i64, ptr %r1
  %needs = load i64, ptr %r2
  br label %wait
wait:
  %spins = phi i64 [ 0, %begin ], [ %spins1, %again ]
  %progress = load atomic i64, ptr %shared acquire, align 8
  %its.run = lshr i64 %progress, 20
  %current = icmp eq i64 %its.run, %run
  br i1 %current, label %ours, label %leave
ours:
  %done.now = and i64 %progress, 1048575
  %reached = icmp sge i64 %done.now, %needs
  br i1 %reached, label %claim, label %spin
<spin>
claim:
  %k8 = mul i64 %k, 8
  %place = add i64 %k8, 8
  %claimed = getelementptr i64, ptr %shared, i64 %place
  %done = getelementptr i64, ptr %claimed, i64 1
  %pair = cmpxchg ptr %claimed, i64 %before, i64 %run acq_rel acquire, align 8
  %mine = extractvalue { i64, i1 } %pair, 1
  br i1 %mine, label %do, label %taken
taken:
  %state = load atomic i64, ptr %done acquire, align 8
  %over = icmp eq i64 %state, %run
  br i1 %over, label %following, label %spin
do:
  call void @run_list(ptr %table, ptr %records, i64 %records.count)
  store atomic i64 %run, ptr %done release, align 8
  br label %following
following:
  %k1 = add i64 %k, 1
  br label %piece
}
"""


def runtime() -> str:
    """Return the functions that run stages in two threads, in LLVM IR."""
    pause, declaration = "", ""
    if platform.machine().lower() in ("x86_64", "amd64"):
        pause, declaration = "call void @llvm.x86.sse2.pause()", "declare void @llvm.x86.sse2.pause()\n"
    text = RUNTIME.replace("<spin>", _SPIN)
    for mark, meaning in (("<pause>", pause), ("<patience>", str(_PATIENCE)), ("<much>", str(LATE))):
        text = text.replace(mark, meaning)
    return declaration + text


def default_threads() -> int:
    """Return how many threads a program is lowered for: two where there are two cores and nobody asked for one."""
    asked = os.environ.get("OMP_NUM_THREADS") or os.environ.get("OPENBLAS_NUM_THREADS") or ""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 2 if can_help() and cores > 1 and asked.split(",")[0].strip() != "1" else 1


def can_help() -> bool:
    """Tell whether the system has what a helper needs."""
    return sys.platform.startswith("linux")
