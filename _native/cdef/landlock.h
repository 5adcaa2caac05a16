/* The version of Landlock's interface that the kernel offers, 0 for none. */
int ck_landlock_abi(void);
