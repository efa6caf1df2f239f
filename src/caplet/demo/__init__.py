# SPDX-License-Identifier: Apache-2.0
"""The whole story in three scenes, each predicted by the kernel model and then run on this machine's kernel.

scenes    what is packed, what the Pod asks for, how it must end
stage     one scene: pack, predict, run, compare
reasons   why it ends so, read off the model's values
"""
