# Read once at the beginning of every shell of a job, with __sb_dir, __sb_tty and __sb_start set.
# The files of a login shell are read here and not by bash itself, so that they see the terminal as their input.
PS1= PS2=
if [ -r /etc/profile ]; then . /etc/profile; fi
if [ -r ~/.bash_profile ]; then . ~/.bash_profile
elif [ -r ~/.bash_login ]; then . ~/.bash_login
elif [ -r ~/.profile ]; then . ~/.profile
fi
PS1= PS2=
unset HISTFILE
builtin cd -- "${__sb_start:-$HOME}" || builtin return 1

