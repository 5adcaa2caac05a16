/* Make everything on the file system of fd durable; an error of earlier write-back is reported too. */
int ck_sync_file_system(int fd);
