# SPDX-License-Identifier: Apache-2.0
"""From what somebody saw to its cause: a log line names candidates, the Pod and its image choose among them.

meant      the words on the command line
clue       a line, an event, a status: found in a log of any form
candidate  the causes that a line may be of
wording    what a text is worth: whether it decides alone, what is likely, and what it is about
answer     of the candidates, those that the containers' Explanations confirm or rule out
somewhere  on which node, where nobody says it
imagealone half an answer: the image without its Pod; podalone: the Pod without its image
commandline  the arguments of a program that a clue names
text, whyjson    the answer as lines, and as JSON
kubectl    the user's own, reading only
live       a Pod or workload on a cluster: podstatus has its clues, nodeinfo its node
"""
