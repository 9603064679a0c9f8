BEGIN TRANSACTION;
CREATE TABLE alma_etl_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alma_etl_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alma_etl_version" VALUES('0019');
CREATE TABLE api_budget (
	name TEXT NOT NULL, 
	clock DOUBLE NOT NULL, 
	next_slot DOUBLE NOT NULL, 
	step DOUBLE NOT NULL, 
	generation BIGINT NOT NULL, 
	rate DOUBLE NOT NULL, 
	rate_at DOUBLE NOT NULL, 
	speed DOUBLE NOT NULL, 
	speed_at DOUBLE NOT NULL, 
	closed_until DOUBLE NOT NULL, 
	closed_reason TEXT NOT NULL, 
	calls_left BIGINT, 
	calls_left_at DOUBLE NOT NULL, 
	day BIGINT NOT NULL, 
	granted BIGINT NOT NULL, 
	refused BIGINT NOT NULL, handed BIGINT DEFAULT '0' NOT NULL, 
	CONSTRAINT pk_api_budget PRIMARY KEY (name)
);
INSERT INTO "api_budget" VALUES('api-na.hosted.exlibrisgroup.com/01ABC_INST',1.79612393500001287461e+09,1.79612393600001287461e+09,5.15463917525773238081e-02,1,20.0,1.79612393499401807781e+09,0.7,1.79612393600001287461e+09,0.0,'',90000,1.79612393499800109862e+09,20788,5,1,5);
INSERT INTO "api_budget" VALUES('second Alma',1796123935.00299,0.0,1.0,1,0.0,0.0,1.0,0.0,32503680000.0,'the daily threshold is reached',NULL,0.0,20788,0,0,0);
CREATE TABLE api_use (
	connection TEXT NOT NULL, 
	hour DATETIME NOT NULL, 
	dag_id TEXT NOT NULL, 
	calls BIGINT NOT NULL, 
	refused BIGINT NOT NULL, 
	CONSTRAINT pk_api_use PRIMARY KEY (connection, hour, dag_id)
);
INSERT INTO "api_use" VALUES('alma_default','2026-03-02 08:00:00.000000','item_creation',7,1);
CREATE TABLE chore (
	name TEXT NOT NULL, 
	done_at DATETIME NOT NULL, 
	CONSTRAINT pk_chore PRIMARY KEY (name)
);
INSERT INTO "chore" VALUES('purge','2026-03-02 08:00:00.000000');
CREATE TABLE dcb_alert (
	alert_key TEXT NOT NULL, 
	pr_id TEXT, 
	code TEXT NOT NULL, 
	severity TEXT NOT NULL, 
	first_seen DATETIME NOT NULL, 
	last_seen DATETIME NOT NULL, 
	repeat_count INTEGER NOT NULL, 
	acked_by TEXT, 
	closed_at DATETIME, 
	detail JSON NOT NULL, 
	CONSTRAINT pk_dcb_alert PRIMARY KEY (alert_key), 
	CONSTRAINT ck_dcb_alert_ck_dcb_alert_severity CHECK (severity IN ('info', 'warning', 'urgent'))
);
INSERT INTO "dcb_alert" VALUES('BORROWER_ITEM_LOST:PR-2','PR-2','BORROWER_ITEM_LOST','urgent','2026-03-02 16:00:05.000000','2026-03-02 16:00:05.000000',0,NULL,'2026-03-02 17:00:05.000000','{"status": "LOANED"}');
INSERT INTO "dcb_alert" VALUES('late:PR-2','PR-2','LATE','warning','2026-03-02 09:00:00.000000','2026-03-02 09:00:00.000000',0,'desk',NULL,'{"days": 3}');
INSERT INTO "dcb_alert" VALUES('sink:mod_dcb',NULL,'SINK_DOWN','urgent','2026-03-02 09:00:00.000000','2026-03-02 09:00:00.000000',0,NULL,'2026-03-02 10:00:00.000000','{}');
CREATE TABLE dcb_calls (
	day DATE NOT NULL, 
	budget TEXT NOT NULL, 
	calls INTEGER NOT NULL, 
	CONSTRAINT pk_dcb_calls PRIMARY KEY (day, budget)
);
INSERT INTO "dcb_calls" VALUES('2026-03-02','alma_default',12);
CREATE TABLE dcb_hint (
	hint_id TEXT NOT NULL, 
	system_code TEXT NOT NULL, 
	event TEXT NOT NULL, 
	request_id TEXT, 
	item_pid TEXT, 
	received_at DATETIME NOT NULL, 
	handled_at DATETIME, 
	CONSTRAINT pk_dcb_hint PRIMARY KEY (hint_id)
);
INSERT INTO "dcb_hint" VALUES('hint-1','LENDER','LOAN_RETURNED','PR-2-S','PR-2-23','2026-03-02 09:00:00.000000',NULL);
INSERT INTO "dcb_hint" VALUES('hint-2','LENDER','REQUEST_CANCELED','PR-3-S',NULL,'2026-03-02 11:00:00.000000',NULL);
CREATE TABLE dcb_leg (
	pr_id TEXT NOT NULL, 
	role TEXT NOT NULL, 
	generation INTEGER NOT NULL, 
	system_code TEXT NOT NULL, 
	system_kind TEXT NOT NULL, 
	user_id TEXT, 
	request_id TEXT, 
	mms_id TEXT, 
	holding_id TEXT, 
	item_pid TEXT, 
	barcode TEXT, 
	loan_id TEXT, 
	txn_id TEXT, 
	pickup_library TEXT, 
	pickup_desk TEXT, 
	is_virtual BOOLEAN NOT NULL, 
	closure_hint TEXT, 
	last_read_at DATETIME, 
	last_ok_at DATETIME, 
	last_error TEXT, 
	error_repeat INTEGER NOT NULL, is_open BOOLEAN DEFAULT 1 NOT NULL, earlier JSON DEFAULT '[]' NOT NULL, 
	CONSTRAINT pk_dcb_leg PRIMARY KEY (pr_id, role, generation), 
	CONSTRAINT ck_dcb_leg_ck_dcb_leg_role CHECK (role IN ('SUPPLIER', 'BORROWER', 'PICKUP')), 
	CONSTRAINT ck_dcb_leg_ck_dcb_leg_system_kind CHECK (system_kind IN ('ALMA', 'MOD_DCB', 'OTHER')), 
	CONSTRAINT fk_dcb_leg_pr_id_dcb_request FOREIGN KEY(pr_id) REFERENCES dcb_request (pr_id)
);
INSERT INTO "dcb_leg" VALUES('PR-1','SUPPLIER',1,'LENDER','ALMA','vp-1','PR-1-S',NULL,NULL,'PR-1-23','31',NULL,NULL,NULL,NULL,0,NULL,'2026-03-02 15:00:00.000000','2026-03-02 15:00:00.000000',NULL,0,0,'[]');
INSERT INTO "dcb_leg" VALUES('PR-1','BORROWER',1,'BORROWER','ALMA','patron-1',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,'2026-03-02 14:00:00.000000','2026-03-02 14:00:00.000000',NULL,0,0,'[]');
INSERT INTO "dcb_leg" VALUES('PR-2','SUPPLIER',1,'LENDER','ALMA','vp-1','PR-2-S',NULL,NULL,'PR-2-23','31',NULL,NULL,NULL,NULL,0,NULL,'2026-03-02 18:00:00.000000','2026-03-02 18:00:00.000000',NULL,0,1,'[]');
INSERT INTO "dcb_leg" VALUES('PR-2','BORROWER',1,'BORROWER','ALMA','patron-1',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,'2026-03-02 17:00:00.000000','2026-03-02 17:00:00.000000',NULL,0,1,'[]');
INSERT INTO "dcb_leg" VALUES('PR-3','SUPPLIER',1,'LENDER','ALMA','vp-1','PR-3-S',NULL,NULL,'PR-3-23','31',NULL,NULL,NULL,NULL,0,NULL,'2026-03-02 09:00:00.000000','2026-03-02 09:00:00.000000',NULL,0,0,'[]');
INSERT INTO "dcb_leg" VALUES('PR-3','BORROWER',1,'BORROWER','ALMA','patron-1',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,'2026-03-02 10:00:00.000000','2026-03-02 10:00:00.000000',NULL,0,0,'[]');
INSERT INTO "dcb_leg" VALUES('0b6f1c1e-7b1f-4f53-9d2f-3f1a5f6f0c11','SUPPLIER',1,'LENDER','ALMA','vp-1','4401','991',NULL,'231','310',NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,0,1,'[]');
INSERT INTO "dcb_leg" VALUES('0b6f1c1e-7b1f-4f53-9d2f-3f1a5f6f0c11','BORROWER',1,'BORROWER','ALMA','patron-1','4402','992','222','232',NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,0,1,'[]');
CREATE TABLE dcb_observation (
	obs_id TEXT NOT NULL, 
	pr_id TEXT NOT NULL, 
	step INTEGER NOT NULL, 
	ord INTEGER NOT NULL, 
	role TEXT, 
	generation INTEGER NOT NULL, 
	observed_at DATETIME NOT NULL, 
	recorded_at DATETIME NOT NULL, 
	source TEXT NOT NULL, 
	outcome TEXT NOT NULL, 
	body JSON NOT NULL, 
	confirmations INTEGER NOT NULL, 
	gap_seconds INTEGER NOT NULL, 
	errors JSON, 
	run_id TEXT, 
	CONSTRAINT pk_dcb_observation PRIMARY KEY (obs_id), 
	CONSTRAINT ck_dcb_observation_ck_dcb_observation_outcome CHECK (outcome IN ('APPLIED', 'UNCHANGED', 'STALE', 'ERROR')), 
	CONSTRAINT ck_dcb_observation_ck_dcb_observation_source CHECK (source IN ('POLL', 'WEBHOOK', 'MANUAL', 'RECONCILE', 'ACK')), 
	CONSTRAINT fk_dcb_observation_pr_id_dcb_request FOREIGN KEY(pr_id) REFERENCES dcb_request (pr_id)
);
INSERT INTO "dcb_observation" VALUES('c009a3a787ecda0ac4dfc1b62ee47038d38d39fd896be0a1ea843fb60ffa2f80','PR-1',1,0,'SUPPLIER',1,'2026-03-02 09:00:00.000000','2026-03-02 09:00:05.000000','POLL','APPLIED','{"role": "SUPPLIER", "at": "2026-03-02T09:00:00.000000Z", "request": {"found": true, "request_status": "NOT_STARTED"}, "item": {"found": true, "base_status": "1", "barcode": "31"}}',2,600,'null','run-1');
INSERT INTO "dcb_observation" VALUES('a802f84252449fe91a485ba2a77b45134ab09a6227bfa46eaa1e2ea7b57fdcf2','PR-1',2,0,NULL,1,'2026-03-02 09:02:00.000000','2026-03-02 09:02:05.000000','ACK','APPLIED','{"ack": "BORROWER_PLACED", "at": "2026-03-02T09:02:00.000000Z"}',2,600,'null','run-1');
INSERT INTO "dcb_observation" VALUES('37f7bc27757677fb687111dcef7b28d656b231efa1797d84c12a2a5ac0ffac37','PR-1',3,0,'SUPPLIER',1,'2026-03-02 10:00:00.000000','2026-03-02 10:00:05.000000','POLL','APPLIED','{"role": "SUPPLIER", "at": "2026-03-02T10:00:00.000000Z", "request": {"found": true, "request_status": "IN_PROCESS", "task_name": "Transit Item"}, "item": {"found": true, "base_status": "0", "process_type": "TRANSIT"}}',2,600,'null','run-1');
INSERT INTO "dcb_observation" VALUES('7a37d6030ad939727b225b80881aefd67ddd37782e414c4745bb990d1bbee0c3','PR-1',4,0,'BORROWER',1,'2026-03-02 11:00:00.000000','2026-03-02 11:00:05.000000','POLL','APPLIED','{"role": "BORROWER", "at": "2026-03-02T11:00:00.000000Z", "request": {"found": true, "request_status": "ON_HOLD_SHELF"}, "item": {"found": true, "base_status": "0", "process_type": "HOLDSHELF"}}',2,600,'null','run-1');
INSERT INTO "dcb_observation" VALUES('9c3c366a161eef192fcd71e65fa1c9cc6b392060b1a22eda063acaf2a4f2d13c','PR-1',5,0,'BORROWER',1,'2026-03-02 12:00:00.000000','2026-03-02 12:00:05.000000','POLL','APPLIED','{"role": "BORROWER", "at": "2026-03-02T12:00:00.000000Z", "request": {"found": false}, "item": {"found": true, "base_status": "0", "process_type": "LOAN"}, "loan": {"found": true, "loan_status": "Active", "process_status": "NORMAL", "due_date": "2026-02-01T00:00:00+00:00"}}',2,600,'null','run-1');
INSERT INTO "dcb_observation" VALUES('564311972b2d0cb498902427a0e8a8206ce34990a8fcdca1b0f024a8bc34a572','PR-1',6,0,NULL,1,'2026-03-02 12:01:00.000000','2026-03-02 12:01:05.000000','ACK','UNCHANGED','{"ack": "SUPPLIER_LOAN_CREATED", "at": "2026-03-02T12:01:00.000000Z"}',2,600,'null','run-1');
INSERT INTO "dcb_observation" VALUES('96e3b487a650234bf6d46dbdfcefc6a04b1553fa68d2357a72aa21ad4eb97148','PR-1',7,0,'SUPPLIER',1,'2026-03-02 13:00:00.000000','2026-03-02 13:00:05.000000','POLL','UNCHANGED','{"role": "SUPPLIER", "at": "2026-03-02T13:00:00.000000Z", "request": {"found": false}, "item": {"found": true, "base_status": "0", "process_type": "LOAN"}, "loan": {"found": true, "loan_status": "Active", "process_status": "NORMAL", "due_date": "2026-03-01T00:00:00+00:00"}}',2,600,'null','run-1');
INSERT INTO "dcb_observation" VALUES('2730505b9dd1eef8ac2fbe5809694004776c605dc4db3d34cc4c290f8d241dd9','PR-1',8,0,'BORROWER',1,'2026-03-02 14:00:00.000000','2026-03-02 14:00:05.000000','POLL','APPLIED','{"role": "BORROWER", "at": "2026-03-02T14:00:00.000000Z", "item": {"found": true, "base_status": "0", "process_type": "TRANSIT"}, "loan": {"found": true, "loan_status": "Complete", "process_status": "NORMAL"}}',2,600,'null','run-1');
INSERT INTO "dcb_observation" VALUES('d47932ecaf602c8592bc5416a1845e677ce366321a0f02e4e0dd1933b71b4d40','PR-1',9,0,'SUPPLIER',1,'2026-03-02 15:00:00.000000','2026-03-02 15:00:05.000000','POLL','APPLIED','{"role": "SUPPLIER", "at": "2026-03-02T15:00:00.000000Z", "item": {"found": true, "base_status": "1"}, "loan": {"found": true, "loan_status": "Complete", "process_status": "NORMAL"}}',2,600,'null','run-1');
INSERT INTO "dcb_observation" VALUES('1b75c00e10a3fafbd1959178baf2fb86d3c4ec230c7fdbc6a167971b6a05aef5','PR-1',10,0,NULL,1,'2026-03-02 15:02:00.000000','2026-03-02 15:02:05.000000','ACK','APPLIED','{"ack": "CLEANED_UP", "at": "2026-03-02T15:02:00.000000Z"}',2,600,'null','run-1');
INSERT INTO "dcb_observation" VALUES('aa5a392c8eeb55e315661540029437bbc0940356127b222d327dd9f192889c77','PR-2',1,0,'SUPPLIER',1,'2026-03-02 09:00:00.000000','2026-03-02 09:00:05.000000','POLL','APPLIED','{"role": "SUPPLIER", "at": "2026-03-02T09:00:00.000000Z", "request": {"found": true, "request_status": "NOT_STARTED"}, "item": {"found": true, "base_status": "1", "barcode": "31"}}',2,600,'null','run-1');
INSERT INTO "dcb_observation" VALUES('0b119f0f05115bb033e01956b66726ea6c96dbc5f6244be6902511ca6b7cd770','PR-2',2,0,NULL,1,'2026-03-02 09:02:00.000000','2026-03-02 09:02:05.000000','ACK','APPLIED','{"ack": "BORROWER_PLACED", "at": "2026-03-02T09:02:00.000000Z"}',2,600,'null','run-1');
INSERT INTO "dcb_observation" VALUES('ed26db0df1cc7b04b0bdeb40936aff62d137f5f1949da20fb874d4cfe49a2bfb','PR-2',3,0,'SUPPLIER',1,'2026-03-02 10:00:00.000000','2026-03-02 10:00:05.000000','POLL','APPLIED','{"role": "SUPPLIER", "at": "2026-03-02T10:00:00.000000Z", "request": {"found": true, "request_status": "IN_PROCESS", "task_name": "Transit Item"}, "item": {"found": true, "base_status": "0", "process_type": "TRANSIT"}}',2,600,'null','run-1');
INSERT INTO "dcb_observation" VALUES('df9a0741e8dc073e120a401f1e83623e44071b528ada00233039ddf7997f203e','PR-2',4,0,'BORROWER',1,'2026-03-02 11:00:00.000000','2026-03-02 11:00:05.000000','POLL','APPLIED','{"role": "BORROWER", "at": "2026-03-02T11:00:00.000000Z", "request": {"found": true, "request_status": "ON_HOLD_SHELF"}, "item": {"found": true, "base_status": "0", "process_type": "HOLDSHELF"}}',2,600,'null','run-1');
INSERT INTO "dcb_observation" VALUES('2bef96077b03f92acb7e3d88f0513d44ab6d501b929c2d47c6d5945432af302c','PR-2',5,0,'BORROWER',1,'2026-03-02 12:00:00.000000','2026-03-02 12:00:05.000000','POLL','APPLIED','{"role": "BORROWER", "at": "2026-03-02T12:00:00.000000Z", "request": {"found": false}, "item": {"found": true, "base_status": "0", "process_type": "LOAN"}, "loan": {"found": true, "loan_status": "Active", "process_status": "NORMAL", "due_date": "2026-02-01T00:00:00+00:00"}}',2,600,'null','run-1');
INSERT INTO "dcb_observation" VALUES('0de3a78187c3d9be3aa36cb0bf8e7defbf343c5a375383146c1946d6bebe05c7','PR-2',6,0,NULL,1,'2026-03-02 12:01:00.000000','2026-03-02 12:01:05.000000','ACK','UNCHANGED','{"ack": "SUPPLIER_LOAN_CREATED", "at": "2026-03-02T12:01:00.000000Z"}',2,600,'null','run-1');
INSERT INTO "dcb_observation" VALUES('12a6ed46343e82f6aae46d18724abb32ef7f4f6fbdc6c11e03929892af81fd69','PR-2',7,0,'SUPPLIER',1,'2026-03-02 13:00:00.000000','2026-03-02 13:00:05.000000','POLL','UNCHANGED','{"role": "SUPPLIER", "at": "2026-03-02T13:00:00.000000Z", "request": {"found": false}, "item": {"found": true, "base_status": "0", "process_type": "LOAN"}, "loan": {"found": true, "loan_status": "Active", "process_status": "NORMAL", "due_date": "2026-03-01T00:00:00+00:00"}}',2,600,'null','run-1');
INSERT INTO "dcb_observation" VALUES('277ec9802e23de82a03a36ae7597c2b2f8b1071144f766b0f07d0b86d5dd9c3c','PR-2',8,0,'BORROWER',1,'2026-03-02 14:00:00.000000','2026-03-02 14:00:05.000000','POLL','APPLIED','{"role": "BORROWER", "at": "2026-03-02T14:00:00.000000Z", "item": {"found": true, "base_status": "0", "process_type": "LOAN"}, "loan": {"found": true, "loan_status": "Active", "process_status": "RENEW", "due_date": "2026-03-15T00:00:00+00:00"}}',2,600,'null','run-1');
INSERT INTO "dcb_observation" VALUES('6f75179c20c16473a02a53bdec10b9832937fe1142e972345f48c9160f5ab47e','PR-2',9,0,'SUPPLIER',1,'2026-03-02 15:00:00.000000','2026-03-02 15:00:05.000000','POLL','APPLIED','{"role": "SUPPLIER", "at": "2026-03-02T15:00:00.000000Z", "item": {"found": true, "base_status": "0", "process_type": "LOAN"}, "loan": {"found": true, "loan_status": "Active", "process_status": "RECALL", "due_date": "2026-02-20T00:00:00+00:00"}}',2,600,'null','run-1');
INSERT INTO "dcb_observation" VALUES('e714a86fb9b51fb9bf41a62bbfa6c488f963b9f3406f10cd70927c43c6468d0d','PR-2',10,0,'BORROWER',1,'2026-03-02 16:00:00.000000','2026-03-02 16:00:05.000000','POLL','APPLIED','{"role": "BORROWER", "at": "2026-03-02T16:00:00.000000Z", "item": {"found": true, "base_status": "0", "process_type": "LOST_LOAN"}, "loan": {"found": true, "loan_status": "Active", "process_status": "LOST", "due_date": "2026-03-15T00:00:00+00:00"}}',2,600,'null','run-1');
INSERT INTO "dcb_observation" VALUES('a273d70292f08a32a33383ccb91bf8259c730fe2f820942a38030c2bcd8a4e06','PR-2',11,0,'BORROWER',1,'2026-03-02 17:00:00.000000','2026-03-02 17:00:05.000000','POLL','APPLIED','{"role": "BORROWER", "at": "2026-03-02T17:00:00.000000Z", "item": {"found": true, "base_status": "0", "process_type": "TRANSIT"}, "loan": {"found": true, "loan_status": "Complete", "process_status": "NORMAL"}}',2,600,'null','run-1');
INSERT INTO "dcb_observation" VALUES('e824ee4d4f4afba291accc15fd48804c62bda3bae09aae0e25b954a625f0e09a','PR-2',12,0,'SUPPLIER',1,'2026-03-02 18:00:00.000000','2026-03-02 18:00:05.000000','POLL','APPLIED','{"role": "SUPPLIER", "at": "2026-03-02T18:00:00.000000Z", "item": {"found": true, "base_status": "1"}, "loan": {"found": true, "loan_status": "Complete", "process_status": "NORMAL"}}',2,600,'null','run-1');
INSERT INTO "dcb_observation" VALUES('0e9508b5db7bf97e009a03da15125e85eec332d08958e726dc8f1d1ab065c76d','PR-3',1,0,'SUPPLIER',1,'2026-03-02 09:00:00.000000','2026-03-02 09:00:05.000000','POLL','APPLIED','{"role": "SUPPLIER", "at": "2026-03-02T09:00:00.000000Z", "request": {"found": true, "request_status": "NOT_STARTED"}, "item": {"found": true, "base_status": "1", "barcode": "31"}}',2,600,'null','run-1');
INSERT INTO "dcb_observation" VALUES('4952b4a0e8fff9ca56d6f92c5b3997bf776293e4bdf5d3f02a77d6499bd900e7','PR-3',2,0,NULL,1,'2026-03-02 09:02:00.000000','2026-03-02 09:02:05.000000','ACK','APPLIED','{"ack": "BORROWER_PLACED", "at": "2026-03-02T09:02:00.000000Z"}',2,600,'null','run-1');
INSERT INTO "dcb_observation" VALUES('dad9220f28a272b0300271c1e1f9a32c574dc5527e62e8dfd0b20dc9c3b93c91','PR-3',3,0,'BORROWER',1,'2026-03-02 10:00:00.000000','2026-03-02 10:00:05.000000','POLL','APPLIED','{"role": "BORROWER", "at": "2026-03-02T10:00:00.000000Z", "request": {"found": false, "closure": "CANCELED"}, "item": {"found": true, "base_status": "1"}}',2,600,'null','run-1');
INSERT INTO "dcb_observation" VALUES('be196a025de3a89b91f49c37d5db48885ebcec3388b2f246d1882de17556c942','PR-3',4,0,NULL,1,'2026-03-02 10:02:00.000000','2026-03-02 10:02:05.000000','ACK','APPLIED','{"ack": "CLEANED_UP", "at": "2026-03-02T10:02:00.000000Z"}',2,600,'null','run-1');
INSERT INTO "dcb_observation" VALUES('87b1044940c27c6cc93cec7f1ab03b04bcded05edbd712d93f6d492d9db0d02f','0b6f1c1e-7b1f-4f53-9d2f-3f1a5f6f0c11',1,0,NULL,1,'2026-03-02 03:00:00.000000','2026-03-02 08:00:00.000000','ACK','APPLIED','{"ack": "ADOPTED", "at": "2026-03-02T03:00:00.000000Z", "status": "LOANED", "by": "dcb_service"}',2,600,'null',NULL);
CREATE TABLE dcb_outbox (
	outbox_id TEXT NOT NULL, 
	pr_id TEXT NOT NULL, 
	seq INTEGER NOT NULL, 
	ord INTEGER NOT NULL, 
	kind TEXT NOT NULL, 
	target TEXT NOT NULL, 
	type TEXT NOT NULL, 
	payload JSON NOT NULL, 
	state TEXT NOT NULL, 
	attempts INTEGER NOT NULL, 
	next_attempt_at DATETIME NOT NULL, 
	lease_owner TEXT, 
	lease_until DATETIME, 
	last_error TEXT, 
	created_at DATETIME NOT NULL, 
	settled_at DATETIME, 
	CONSTRAINT pk_dcb_outbox PRIMARY KEY (outbox_id), 
	CONSTRAINT ck_dcb_outbox_ck_dcb_outbox_kind CHECK (kind IN ('EVENT', 'ALMA_ACTION')), 
	CONSTRAINT ck_dcb_outbox_ck_dcb_outbox_state CHECK (state IN ('PENDING', 'SENT', 'SUPERSEDED', 'FAILED', 'DEAD')), 
	CONSTRAINT fk_dcb_outbox_pr_id_dcb_request FOREIGN KEY(pr_id) REFERENCES dcb_request (pr_id), 
	CONSTRAINT uq_dcb_outbox_pr_id_target_ord UNIQUE (pr_id, target, ord)
);
INSERT INTO "dcb_outbox" VALUES('346742d6-23e1-5474-9e22-7b6de4bb35cd','PR-1',1,1,'EVENT','log','dcb.status.changed','{"pr_id": "PR-1", "occurred_at": "2026-03-02T09:00:00+00:00", "recorded_at": "2026-03-02T09:00:05+00:00", "run_id": "run-1", "event_id": "6556cf01-ed6b-5952-849a-678f6aaee2ef", "type": "dcb.status.changed", "seq": 1, "from": "REQUEST_PLACED_AT_SUPPLYING_AGENCY", "to": "CONFIRMED", "handler": "HandleSupplierRequestConfirmed", "inferred": false, "txn_state": "CREATED", "item_status": "AVAILABLE", "closure": null, "role": "SUPPLIER", "obs_id": "c009a3a787ecda0ac4dfc1b62ee47038d38d39fd896be0a1ea843fb60ffa2f80", "flags": []}','SENT',1,'2026-03-02 09:00:05.000000',NULL,NULL,NULL,'2026-03-02 09:00:05.000000','2026-03-06 12:00:00.000000');
INSERT INTO "dcb_outbox" VALUES('5a93dde7-3851-5af7-90db-b25958f80604','PR-1',1,2,'ALMA_ACTION','alma','PLACE_AT_BORROWER','{"args": []}','PENDING',0,'2026-03-02 09:00:05.000000',NULL,NULL,NULL,'2026-03-02 09:00:05.000000',NULL);
INSERT INTO "dcb_outbox" VALUES('947de926-873e-5097-a8d0-9d9b2b9c9caf','PR-1',2,3,'EVENT','log','dcb.status.changed','{"pr_id": "PR-1", "occurred_at": "2026-03-02T09:02:00+00:00", "recorded_at": "2026-03-02T09:02:05+00:00", "run_id": "run-1", "event_id": "417b7617-1aa8-5d9f-9b5a-6c3f60428688", "type": "dcb.status.changed", "seq": 2, "from": "CONFIRMED", "to": "REQUEST_PLACED_AT_BORROWING_AGENCY", "handler": "PlaceAtBorrowingAgency", "inferred": false, "txn_state": "CREATED", "item_status": "AVAILABLE", "closure": null, "role": null, "obs_id": "a802f84252449fe91a485ba2a77b45134ab09a6227bfa46eaa1e2ea7b57fdcf2", "flags": []}','PENDING',0,'2026-03-02 09:02:05.000000',NULL,NULL,NULL,'2026-03-02 09:02:05.000000',NULL);
INSERT INTO "dcb_outbox" VALUES('5fa91983-e1a7-59a0-bc49-18920922730a','PR-1',3,4,'EVENT','log','dcb.status.changed','{"pr_id": "PR-1", "occurred_at": "2026-03-02T10:00:00+00:00", "recorded_at": "2026-03-02T10:00:05+00:00", "run_id": "run-1", "event_id": "0f941d3a-1f9c-5d31-ad32-8f59a9b736db", "type": "dcb.status.changed", "seq": 3, "from": "REQUEST_PLACED_AT_BORROWING_AGENCY", "to": "PICKUP_TRANSIT", "handler": "HandleSupplierInTransit", "inferred": false, "txn_state": "OPEN", "item_status": "TRANSIT", "closure": null, "role": "SUPPLIER", "obs_id": "37f7bc27757677fb687111dcef7b28d656b231efa1797d84c12a2a5ac0ffac37", "flags": []}','PENDING',0,'2026-03-02 10:00:05.000000',NULL,NULL,NULL,'2026-03-02 10:00:05.000000',NULL);
INSERT INTO "dcb_outbox" VALUES('73afd1dd-3cd6-5571-a427-ebd86db2440a','PR-1',3,5,'ALMA_ACTION','alma','BORROWER_SCAN_IN','{"args": ["TRANSIT"]}','PENDING',0,'2026-03-02 10:00:05.000000',NULL,NULL,NULL,'2026-03-02 10:00:05.000000',NULL);
INSERT INTO "dcb_outbox" VALUES('942c2123-3fe0-514a-b5e4-5f9c8a5f3d6e','PR-1',4,6,'EVENT','log','dcb.status.changed','{"pr_id": "PR-1", "occurred_at": "2026-03-02T11:00:00+00:00", "recorded_at": "2026-03-02T11:00:05+00:00", "run_id": "run-1", "event_id": "a88f7a2e-96c8-546e-a941-a450985002e6", "type": "dcb.status.changed", "seq": 4, "from": "PICKUP_TRANSIT", "to": "RECEIVED_AT_PICKUP", "handler": "HandleBorrowerItemReceived", "inferred": false, "txn_state": "AWAITING_PICKUP", "item_status": "HOLDSHELF", "closure": null, "role": "BORROWER", "obs_id": "7a37d6030ad939727b225b80881aefd67ddd37782e414c4745bb990d1bbee0c3", "flags": []}','PENDING',0,'2026-03-02 11:00:05.000000',NULL,NULL,NULL,'2026-03-02 11:00:05.000000',NULL);
INSERT INTO "dcb_outbox" VALUES('d869a03d-921c-5ee8-aeca-6a66f0370074','PR-1',5,7,'EVENT','log','dcb.status.changed','{"pr_id": "PR-1", "occurred_at": "2026-03-02T11:00:00+00:00", "recorded_at": "2026-03-02T11:00:05+00:00", "run_id": "run-1", "event_id": "01b4fb83-2a1a-5fcf-b4d1-924bb4c872bd", "type": "dcb.status.changed", "seq": 5, "from": "RECEIVED_AT_PICKUP", "to": "READY_FOR_PICKUP", "handler": "HandleBorrowerItemOnHoldShelf", "inferred": false, "txn_state": "AWAITING_PICKUP", "item_status": "HOLDSHELF", "closure": null, "role": "BORROWER", "obs_id": "7a37d6030ad939727b225b80881aefd67ddd37782e414c4745bb990d1bbee0c3", "flags": []}','PENDING',0,'2026-03-02 11:00:05.000000',NULL,NULL,NULL,'2026-03-02 11:00:05.000000',NULL);
INSERT INTO "dcb_outbox" VALUES('9699b5f3-fd5f-56bf-a6a9-61ad3feada30','PR-1',6,8,'EVENT','log','dcb.status.changed','{"pr_id": "PR-1", "occurred_at": "2026-03-02T12:00:00+00:00", "recorded_at": "2026-03-02T12:00:05+00:00", "run_id": "run-1", "event_id": "267df2a3-985b-5450-8828-a1ba9969c0d9", "type": "dcb.status.changed", "seq": 6, "from": "READY_FOR_PICKUP", "to": "LOANED", "handler": "HandleBorrowerItemLoaned", "inferred": false, "txn_state": "ITEM_CHECKED_OUT", "item_status": "LOANED", "closure": null, "role": "BORROWER", "obs_id": "9c3c366a161eef192fcd71e65fa1c9cc6b392060b1a22eda063acaf2a4f2d13c", "flags": []}','PENDING',0,'2026-03-02 12:00:05.000000',NULL,NULL,NULL,'2026-03-02 12:00:05.000000',NULL);
INSERT INTO "dcb_outbox" VALUES('7f07309e-a709-52cc-97e6-25fb18f48a3e','PR-1',6,9,'ALMA_ACTION','alma','CREATE_SUPPLIER_LOAN','{"args": []}','PENDING',0,'2026-03-02 12:00:05.000000',NULL,NULL,NULL,'2026-03-02 12:00:05.000000',NULL);
INSERT INTO "dcb_outbox" VALUES('9db3eb3d-447a-5b86-b399-045d57617fb5','PR-1',7,10,'EVENT','log','dcb.status.changed','{"pr_id": "PR-1", "occurred_at": "2026-03-02T14:00:00+00:00", "recorded_at": "2026-03-02T14:00:05+00:00", "run_id": "run-1", "event_id": "37276242-c531-5a8d-a530-9dd1304e89f1", "type": "dcb.status.changed", "seq": 7, "from": "LOANED", "to": "RETURN_TRANSIT", "handler": "HandleBorrowerRequestReturnTransit", "inferred": false, "txn_state": "ITEM_CHECKED_IN", "item_status": "TRANSIT", "closure": null, "role": "BORROWER", "obs_id": "2730505b9dd1eef8ac2fbe5809694004776c605dc4db3d34cc4c290f8d241dd9", "flags": []}','PENDING',0,'2026-03-02 14:00:05.000000',NULL,NULL,NULL,'2026-03-02 14:00:05.000000',NULL);
INSERT INTO "dcb_outbox" VALUES('c3a50eac-5436-53b1-a2d4-4779a2c5f8df','PR-1',8,11,'EVENT','log','dcb.status.changed','{"pr_id": "PR-1", "occurred_at": "2026-03-02T15:00:00+00:00", "recorded_at": "2026-03-02T15:00:05+00:00", "run_id": "run-1", "event_id": "2678959d-6426-557b-9233-18a8539cfc96", "type": "dcb.status.changed", "seq": 8, "from": "RETURN_TRANSIT", "to": "COMPLETED", "handler": "HandleSupplierItemAvailable", "inferred": false, "txn_state": "CLOSED", "item_status": "AVAILABLE", "closure": null, "role": "SUPPLIER", "obs_id": "d47932ecaf602c8592bc5416a1845e677ce366321a0f02e4e0dd1933b71b4d40", "flags": []}','PENDING',0,'2026-03-02 15:00:05.000000',NULL,NULL,NULL,'2026-03-02 15:00:05.000000',NULL);
INSERT INTO "dcb_outbox" VALUES('dec1ec17-3455-5c08-b5d5-1b87257c4db1','PR-1',8,12,'EVENT','log','dcb.request.closed','{"pr_id": "PR-1", "occurred_at": "2026-03-02T15:00:00+00:00", "recorded_at": "2026-03-02T15:00:05+00:00", "run_id": "run-1", "event_id": "15da59f9-3f49-5d4a-85ee-cb9f74f07882", "type": "dcb.request.closed", "seq": 8, "outcome": "SUPPLIED", "closure": null, "confidence": null}','PENDING',0,'2026-03-02 15:00:05.000000',NULL,NULL,NULL,'2026-03-02 15:00:05.000000',NULL);
INSERT INTO "dcb_outbox" VALUES('c5014e5d-b09c-547f-9839-3dc11250cc64','PR-1',8,13,'ALMA_ACTION','alma','BORROWER_SCAN_IN','{"args": ["COMPLETED"]}','PENDING',0,'2026-03-02 15:00:05.000000',NULL,NULL,NULL,'2026-03-02 15:00:05.000000',NULL);
INSERT INTO "dcb_outbox" VALUES('91e97d6e-fc36-5340-908a-4554961d95e3','PR-1',8,14,'ALMA_ACTION','alma','CLEANUP','{"args": []}','PENDING',0,'2026-03-02 15:00:05.000000',NULL,NULL,NULL,'2026-03-02 15:00:05.000000',NULL);
INSERT INTO "dcb_outbox" VALUES('dfde230f-1221-52b7-9fae-59acd9174bc4','PR-1',9,15,'EVENT','log','dcb.status.changed','{"pr_id": "PR-1", "occurred_at": "2026-03-02T15:02:00+00:00", "recorded_at": "2026-03-02T15:02:05+00:00", "run_id": "run-1", "event_id": "73f64669-8b22-55e3-b6b3-bbc2ee7c84a3", "type": "dcb.status.changed", "seq": 9, "from": "COMPLETED", "to": "FINALISED", "handler": "FinaliseRequest", "inferred": false, "txn_state": null, "item_status": null, "closure": null, "role": null, "obs_id": "1b75c00e10a3fafbd1959178baf2fb86d3c4ec230c7fdbc6a167971b6a05aef5", "flags": []}','PENDING',0,'2026-03-02 15:02:05.000000',NULL,NULL,NULL,'2026-03-02 15:02:05.000000',NULL);
INSERT INTO "dcb_outbox" VALUES('0e8590ca-48f2-5b00-b2a5-13c12256591e','PR-2',1,1,'EVENT','log','dcb.status.changed','{"pr_id": "PR-2", "occurred_at": "2026-03-02T09:00:00+00:00", "recorded_at": "2026-03-02T09:00:05+00:00", "run_id": "run-1", "event_id": "1513d434-7856-5fa6-b957-3ea288c05ddc", "type": "dcb.status.changed", "seq": 1, "from": "REQUEST_PLACED_AT_SUPPLYING_AGENCY", "to": "CONFIRMED", "handler": "HandleSupplierRequestConfirmed", "inferred": false, "txn_state": "CREATED", "item_status": "AVAILABLE", "closure": null, "role": "SUPPLIER", "obs_id": "aa5a392c8eeb55e315661540029437bbc0940356127b222d327dd9f192889c77", "flags": []}','PENDING',0,'2026-03-02 09:00:05.000000',NULL,NULL,NULL,'2026-03-02 09:00:05.000000',NULL);
INSERT INTO "dcb_outbox" VALUES('c9eba5a8-4d42-59ad-a019-96231aab780a','PR-2',1,2,'ALMA_ACTION','alma','PLACE_AT_BORROWER','{"args": []}','PENDING',0,'2026-03-02 09:00:05.000000',NULL,NULL,NULL,'2026-03-02 09:00:05.000000',NULL);
INSERT INTO "dcb_outbox" VALUES('b9ccdde0-6238-566c-a476-d145541473d1','PR-2',2,3,'EVENT','log','dcb.status.changed','{"pr_id": "PR-2", "occurred_at": "2026-03-02T09:02:00+00:00", "recorded_at": "2026-03-02T09:02:05+00:00", "run_id": "run-1", "event_id": "66f62588-bb4c-54bd-bfc9-c03b007ab4da", "type": "dcb.status.changed", "seq": 2, "from": "CONFIRMED", "to": "REQUEST_PLACED_AT_BORROWING_AGENCY", "handler": "PlaceAtBorrowingAgency", "inferred": false, "txn_state": "CREATED", "item_status": "AVAILABLE", "closure": null, "role": null, "obs_id": "0b119f0f05115bb033e01956b66726ea6c96dbc5f6244be6902511ca6b7cd770", "flags": []}','PENDING',0,'2026-03-02 09:02:05.000000',NULL,NULL,NULL,'2026-03-02 09:02:05.000000',NULL);
INSERT INTO "dcb_outbox" VALUES('fd82bca5-70c0-5217-975c-f4e89fa03b2b','PR-2',3,4,'EVENT','log','dcb.status.changed','{"pr_id": "PR-2", "occurred_at": "2026-03-02T10:00:00+00:00", "recorded_at": "2026-03-02T10:00:05+00:00", "run_id": "run-1", "event_id": "ee089e71-d215-54a5-97b8-f5d5359d8a99", "type": "dcb.status.changed", "seq": 3, "from": "REQUEST_PLACED_AT_BORROWING_AGENCY", "to": "PICKUP_TRANSIT", "handler": "HandleSupplierInTransit", "inferred": false, "txn_state": "OPEN", "item_status": "TRANSIT", "closure": null, "role": "SUPPLIER", "obs_id": "ed26db0df1cc7b04b0bdeb40936aff62d137f5f1949da20fb874d4cfe49a2bfb", "flags": []}','PENDING',0,'2026-03-02 10:00:05.000000',NULL,NULL,NULL,'2026-03-02 10:00:05.000000',NULL);
INSERT INTO "dcb_outbox" VALUES('67cc7b15-4f8d-5bf0-bdfc-51fe85bf03ed','PR-2',3,5,'ALMA_ACTION','alma','BORROWER_SCAN_IN','{"args": ["TRANSIT"]}','PENDING',0,'2026-03-02 10:00:05.000000',NULL,NULL,NULL,'2026-03-02 10:00:05.000000',NULL);
INSERT INTO "dcb_outbox" VALUES('aedc3bab-712a-5a8c-a2b9-ebf9abbf617a','PR-2',4,6,'EVENT','log','dcb.status.changed','{"pr_id": "PR-2", "occurred_at": "2026-03-02T11:00:00+00:00", "recorded_at": "2026-03-02T11:00:05+00:00", "run_id": "run-1", "event_id": "0c98df3f-d54e-5ddc-8e55-efc206a3d7d5", "type": "dcb.status.changed", "seq": 4, "from": "PICKUP_TRANSIT", "to": "RECEIVED_AT_PICKUP", "handler": "HandleBorrowerItemReceived", "inferred": false, "txn_state": "AWAITING_PICKUP", "item_status": "HOLDSHELF", "closure": null, "role": "BORROWER", "obs_id": "df9a0741e8dc073e120a401f1e83623e44071b528ada00233039ddf7997f203e", "flags": []}','PENDING',0,'2026-03-02 11:00:05.000000',NULL,NULL,NULL,'2026-03-02 11:00:05.000000',NULL);
INSERT INTO "dcb_outbox" VALUES('acc59520-5f96-5fb4-b247-12d20afa881f','PR-2',5,7,'EVENT','log','dcb.status.changed','{"pr_id": "PR-2", "occurred_at": "2026-03-02T11:00:00+00:00", "recorded_at": "2026-03-02T11:00:05+00:00", "run_id": "run-1", "event_id": "9c4ad40b-db9e-55e1-b5df-356ed751b6d8", "type": "dcb.status.changed", "seq": 5, "from": "RECEIVED_AT_PICKUP", "to": "READY_FOR_PICKUP", "handler": "HandleBorrowerItemOnHoldShelf", "inferred": false, "txn_state": "AWAITING_PICKUP", "item_status": "HOLDSHELF", "closure": null, "role": "BORROWER", "obs_id": "df9a0741e8dc073e120a401f1e83623e44071b528ada00233039ddf7997f203e", "flags": []}','PENDING',0,'2026-03-02 11:00:05.000000',NULL,NULL,NULL,'2026-03-02 11:00:05.000000',NULL);
INSERT INTO "dcb_outbox" VALUES('b64ee611-cc0c-52ce-95c9-8bbcce2f9d49','PR-2',6,8,'EVENT','log','dcb.status.changed','{"pr_id": "PR-2", "occurred_at": "2026-03-02T12:00:00+00:00", "recorded_at": "2026-03-02T12:00:05+00:00", "run_id": "run-1", "event_id": "b0a7bba8-b1f3-5405-9edc-6a581e53b7c8", "type": "dcb.status.changed", "seq": 6, "from": "READY_FOR_PICKUP", "to": "LOANED", "handler": "HandleBorrowerItemLoaned", "inferred": false, "txn_state": "ITEM_CHECKED_OUT", "item_status": "LOANED", "closure": null, "role": "BORROWER", "obs_id": "2bef96077b03f92acb7e3d88f0513d44ab6d501b929c2d47c6d5945432af302c", "flags": []}','PENDING',0,'2026-03-02 12:00:05.000000',NULL,NULL,NULL,'2026-03-02 12:00:05.000000',NULL);
INSERT INTO "dcb_outbox" VALUES('28d83001-3ef0-5f05-aaff-9d08553abaf5','PR-2',6,9,'ALMA_ACTION','alma','CREATE_SUPPLIER_LOAN','{"args": []}','PENDING',0,'2026-03-02 12:00:05.000000',NULL,NULL,NULL,'2026-03-02 12:00:05.000000',NULL);
INSERT INTO "dcb_outbox" VALUES('eb958206-8d38-58ca-8cd4-b0c4283b0f99','PR-2',6,10,'EVENT','log','dcb.loan.renewed','{"pr_id": "PR-2", "occurred_at": "2026-03-02T14:00:00+00:00", "recorded_at": "2026-03-02T14:00:05+00:00", "run_id": "run-1", "event_id": "bad419f2-97f7-518e-8741-5b5e5dca5bb9", "type": "dcb.loan.renewed", "seq": 6, "flag": "RENEWED", "obs_id": "277ec9802e23de82a03a36ae7597c2b2f8b1071144f766b0f07d0b86d5dd9c3c"}','PENDING',0,'2026-03-02 14:00:05.000000',NULL,NULL,NULL,'2026-03-02 14:00:05.000000',NULL);
INSERT INTO "dcb_outbox" VALUES('f8102b44-1607-50de-9403-c38da087f5c5','PR-2',6,11,'EVENT','log','dcb.loan.recalled','{"pr_id": "PR-2", "occurred_at": "2026-03-02T15:00:00+00:00", "recorded_at": "2026-03-02T15:00:05+00:00", "run_id": "run-1", "event_id": "5ba45613-c613-5c22-abc8-fea71cba8d61", "type": "dcb.loan.recalled", "seq": 6, "flag": "RECALLED", "obs_id": "6f75179c20c16473a02a53bdec10b9832937fe1142e972345f48c9160f5ab47e"}','PENDING',0,'2026-03-02 15:00:05.000000',NULL,NULL,NULL,'2026-03-02 15:00:05.000000',NULL);
INSERT INTO "dcb_outbox" VALUES('c01fa27e-3066-5fb4-b426-1cd533781255','PR-2',6,12,'ALMA_ACTION','alma','PREVENT_RENEWAL_AT_BORROWER','{"args": []}','PENDING',0,'2026-03-02 15:00:05.000000',NULL,NULL,NULL,'2026-03-02 15:00:05.000000',NULL);
INSERT INTO "dcb_outbox" VALUES('af6a2e39-822d-5bf1-863c-78e77ca612b5','PR-2',6,13,'EVENT','log','dcb.item.lost','{"pr_id": "PR-2", "occurred_at": "2026-03-02T16:00:00+00:00", "recorded_at": "2026-03-02T16:00:05+00:00", "run_id": "run-1", "event_id": "e8cba90a-a046-5cb2-b5fc-17faae1eef00", "type": "dcb.item.lost", "seq": 6, "flag": "BORROWER_ITEM_LOST", "obs_id": "e714a86fb9b51fb9bf41a62bbfa6c488f963b9f3406f10cd70927c43c6468d0d"}','PENDING',0,'2026-03-02 16:00:05.000000',NULL,NULL,NULL,'2026-03-02 16:00:05.000000',NULL);
INSERT INTO "dcb_outbox" VALUES('9556aebc-57b8-5ac6-bbce-18e72ffcb1a0','PR-2',7,14,'EVENT','log','dcb.status.changed','{"pr_id": "PR-2", "occurred_at": "2026-03-02T17:00:00+00:00", "recorded_at": "2026-03-02T17:00:05+00:00", "run_id": "run-1", "event_id": "dff566e3-435f-57b6-a254-c6e351feda09", "type": "dcb.status.changed", "seq": 7, "from": "LOANED", "to": "RETURN_TRANSIT", "handler": "HandleBorrowerRequestReturnTransit", "inferred": false, "txn_state": "ITEM_CHECKED_IN", "item_status": "TRANSIT", "closure": null, "role": "BORROWER", "obs_id": "a273d70292f08a32a33383ccb91bf8259c730fe2f820942a38030c2bcd8a4e06", "flags": []}','PENDING',0,'2026-03-02 17:00:05.000000',NULL,NULL,NULL,'2026-03-02 17:00:05.000000',NULL);
INSERT INTO "dcb_outbox" VALUES('e0af11ea-badb-5d2e-933b-27cbe657b649','PR-2',8,15,'EVENT','log','dcb.status.changed','{"pr_id": "PR-2", "occurred_at": "2026-03-02T18:00:00+00:00", "recorded_at": "2026-03-02T18:00:05+00:00", "run_id": "run-1", "event_id": "3ab0e380-3629-5025-91fc-8724500443a1", "type": "dcb.status.changed", "seq": 8, "from": "RETURN_TRANSIT", "to": "COMPLETED", "handler": "HandleSupplierItemAvailable", "inferred": false, "txn_state": "CLOSED", "item_status": "AVAILABLE", "closure": null, "role": "SUPPLIER", "obs_id": "e824ee4d4f4afba291accc15fd48804c62bda3bae09aae0e25b954a625f0e09a", "flags": []}','PENDING',0,'2026-03-02 18:00:05.000000',NULL,NULL,NULL,'2026-03-02 18:00:05.000000',NULL);
INSERT INTO "dcb_outbox" VALUES('eea832dd-826f-5268-b38e-73f6c6c9241e','PR-2',8,16,'EVENT','log','dcb.request.closed','{"pr_id": "PR-2", "occurred_at": "2026-03-02T18:00:00+00:00", "recorded_at": "2026-03-02T18:00:05+00:00", "run_id": "run-1", "event_id": "14ea41bb-2a9c-589f-a8ea-fda257d94744", "type": "dcb.request.closed", "seq": 8, "outcome": "SUPPLIED", "closure": null, "confidence": null}','PENDING',0,'2026-03-02 18:00:05.000000',NULL,NULL,NULL,'2026-03-02 18:00:05.000000',NULL);
INSERT INTO "dcb_outbox" VALUES('104d8ef7-6191-5bec-b86b-d433e4b8dba0','PR-2',8,17,'ALMA_ACTION','alma','BORROWER_SCAN_IN','{"args": ["COMPLETED"]}','PENDING',0,'2026-03-02 18:00:05.000000',NULL,NULL,NULL,'2026-03-02 18:00:05.000000',NULL);
INSERT INTO "dcb_outbox" VALUES('ec68d527-0836-5e7b-8362-6adb9098e3fe','PR-2',8,18,'ALMA_ACTION','alma','CLEANUP','{"args": []}','PENDING',0,'2026-03-02 18:00:05.000000',NULL,NULL,NULL,'2026-03-02 18:00:05.000000',NULL);
INSERT INTO "dcb_outbox" VALUES('190943fc-54da-52fe-982d-53f5ccee6257','PR-3',1,1,'EVENT','log','dcb.status.changed','{"pr_id": "PR-3", "occurred_at": "2026-03-02T09:00:00+00:00", "recorded_at": "2026-03-02T09:00:05+00:00", "run_id": "run-1", "event_id": "b70ee1ee-143c-5d79-8cad-17943e2ec13d", "type": "dcb.status.changed", "seq": 1, "from": "REQUEST_PLACED_AT_SUPPLYING_AGENCY", "to": "CONFIRMED", "handler": "HandleSupplierRequestConfirmed", "inferred": false, "txn_state": "CREATED", "item_status": "AVAILABLE", "closure": null, "role": "SUPPLIER", "obs_id": "0e9508b5db7bf97e009a03da15125e85eec332d08958e726dc8f1d1ab065c76d", "flags": []}','PENDING',0,'2026-03-02 09:00:05.000000',NULL,NULL,NULL,'2026-03-02 09:00:05.000000',NULL);
INSERT INTO "dcb_outbox" VALUES('5cabb5f7-56e2-58be-9ff7-f9f94c5c143b','PR-3',1,2,'ALMA_ACTION','alma','PLACE_AT_BORROWER','{"args": []}','PENDING',0,'2026-03-02 09:00:05.000000',NULL,NULL,NULL,'2026-03-02 09:00:05.000000',NULL);
INSERT INTO "dcb_outbox" VALUES('7b999f50-823f-5be8-836c-d3c44dbc758c','PR-3',2,3,'EVENT','log','dcb.status.changed','{"pr_id": "PR-3", "occurred_at": "2026-03-02T09:02:00+00:00", "recorded_at": "2026-03-02T09:02:05+00:00", "run_id": "run-1", "event_id": "5599274d-96a1-53d0-82fa-331ac71b308a", "type": "dcb.status.changed", "seq": 2, "from": "CONFIRMED", "to": "REQUEST_PLACED_AT_BORROWING_AGENCY", "handler": "PlaceAtBorrowingAgency", "inferred": false, "txn_state": "CREATED", "item_status": "AVAILABLE", "closure": null, "role": null, "obs_id": "4952b4a0e8fff9ca56d6f92c5b3997bf776293e4bdf5d3f02a77d6499bd900e7", "flags": []}','PENDING',0,'2026-03-02 09:02:05.000000',NULL,NULL,NULL,'2026-03-02 09:02:05.000000',NULL);
INSERT INTO "dcb_outbox" VALUES('3ac3a514-6bcf-5ba0-8b84-6b8e35cd6e57','PR-3',3,4,'EVENT','log','dcb.status.changed','{"pr_id": "PR-3", "occurred_at": "2026-03-02T10:00:00+00:00", "recorded_at": "2026-03-02T10:00:05+00:00", "run_id": "run-1", "event_id": "4211c46d-5348-5291-b1c1-142a20da15fe", "type": "dcb.status.changed", "seq": 3, "from": "REQUEST_PLACED_AT_BORROWING_AGENCY", "to": "CANCELLED", "handler": "CancelledPatronRequestTransition", "inferred": false, "txn_state": "CANCELLED", "item_status": null, "closure": "CANCELED", "role": "BORROWER", "obs_id": "dad9220f28a272b0300271c1e1f9a32c574dc5527e62e8dfd0b20dc9c3b93c91", "flags": []}','PENDING',0,'2026-03-02 10:00:05.000000',NULL,NULL,NULL,'2026-03-02 10:00:05.000000',NULL);
INSERT INTO "dcb_outbox" VALUES('1a5b75c1-d908-580a-a0c9-3315a790845e','PR-3',3,5,'EVENT','log','dcb.request.closed','{"pr_id": "PR-3", "occurred_at": "2026-03-02T10:00:00+00:00", "recorded_at": "2026-03-02T10:00:05+00:00", "run_id": "run-1", "event_id": "fcad1c40-a186-5f15-8641-d74e56fcf837", "type": "dcb.request.closed", "seq": 3, "outcome": "CANCELLED", "closure": "CANCELED", "confidence": "high"}','PENDING',0,'2026-03-02 10:00:05.000000',NULL,NULL,NULL,'2026-03-02 10:00:05.000000',NULL);
INSERT INTO "dcb_outbox" VALUES('eaaf51bc-de00-5780-88e7-b2d134b55a4c','PR-3',3,6,'ALMA_ACTION','alma','CANCEL_SUPPLIER_HOLD','{"args": []}','PENDING',0,'2026-03-02 10:00:05.000000',NULL,NULL,NULL,'2026-03-02 10:00:05.000000',NULL);
INSERT INTO "dcb_outbox" VALUES('a8178e8c-ea2d-545f-b35e-a5c1e9e2a13f','PR-3',3,7,'ALMA_ACTION','alma','CLEANUP','{"args": []}','PENDING',0,'2026-03-02 10:00:05.000000',NULL,NULL,NULL,'2026-03-02 10:00:05.000000',NULL);
INSERT INTO "dcb_outbox" VALUES('117ab53c-907c-5e8e-a36e-55f5417c76ac','PR-3',4,8,'EVENT','log','dcb.status.changed','{"pr_id": "PR-3", "occurred_at": "2026-03-02T10:02:00+00:00", "recorded_at": "2026-03-02T10:02:05+00:00", "run_id": "run-1", "event_id": "74132b71-9e96-5722-950d-62468d36ba14", "type": "dcb.status.changed", "seq": 4, "from": "CANCELLED", "to": "FINALISED", "handler": "FinaliseRequest", "inferred": false, "txn_state": null, "item_status": null, "closure": "CANCELED", "role": null, "obs_id": "be196a025de3a89b91f49c37d5db48885ebcec3388b2f246d1882de17556c942", "flags": []}','PENDING',0,'2026-03-02 10:02:05.000000',NULL,NULL,NULL,'2026-03-02 10:02:05.000000',NULL);
INSERT INTO "dcb_outbox" VALUES('817032d3-00d7-50a6-aac1-d53bf59944fd','0b6f1c1e-7b1f-4f53-9d2f-3f1a5f6f0c11',1,1,'EVENT','log','dcb.status.changed','{"pr_id": "0b6f1c1e-7b1f-4f53-9d2f-3f1a5f6f0c11", "occurred_at": "2026-03-02T03:00:00+00:00", "recorded_at": "2026-03-02T08:00:00+00:00", "run_id": null, "event_id": "0029a815-2f05-5022-babf-73ab25be2208", "type": "dcb.status.changed", "seq": 1, "from": "REQUEST_PLACED_AT_SUPPLYING_AGENCY", "to": "LOANED", "handler": "Adopted", "inferred": true, "txn_state": "ITEM_CHECKED_OUT", "item_status": "LOANED", "closure": null, "role": null, "obs_id": "87b1044940c27c6cc93cec7f1ab03b04bcded05edbd712d93f6d492d9db0d02f", "flags": [], "adopted": true}','SENT',1,'2026-03-02 08:00:00.000000',NULL,NULL,NULL,'2026-03-02 08:00:00.000000','2026-03-06 12:00:00.000000');
CREATE TABLE dcb_request (
	pr_id TEXT NOT NULL, 
	workflow TEXT NOT NULL, 
	status TEXT NOT NULL, 
	outcome TEXT, 
	closure TEXT, 
	closure_evidence TEXT, 
	closure_confidence TEXT, 
	seq INTEGER NOT NULL, 
	steps INTEGER NOT NULL, 
	last_ord INTEGER NOT NULL, 
	version INTEGER NOT NULL, 
	status_since DATETIME NOT NULL, 
	next_poll_at DATETIME, 
	poll_repeat INTEGER NOT NULL, 
	nudged BOOLEAN NOT NULL, 
	lease_owner TEXT, 
	lease_until DATETIME, 
	flags JSON NOT NULL, 
	standing JSON NOT NULL, 
	needs_attention BOOLEAN NOT NULL, 
	state JSON NOT NULL, 
	conf JSON NOT NULL, 
	thinned BOOLEAN NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, nudges INTEGER DEFAULT 0 NOT NULL, owner TEXT DEFAULT 'alma_airflow' NOT NULL, 
	CONSTRAINT pk_dcb_request PRIMARY KEY (pr_id), 
	CONSTRAINT ck_dcb_request_ck_dcb_request_workflow CHECK (workflow IN ('RET-STD', 'RET-PUA', 'RET-EXP', 'RET-LOCAL'))
);
INSERT INTO "dcb_request" VALUES('PR-1','RET-STD','FINALISED','SUPPLIED',NULL,NULL,NULL,9,10,15,10,'2026-03-02 15:02:05.000000',NULL,0,0,NULL,NULL,'[]','[]',0,'{"status": "FINALISED", "seq": 9, "outcome": "SUPPLIED", "rules": 3, "legs": {"SUPPLIER": {"at": "2026-03-02T15:00:00.000000Z", "hold": "CONFIRMED", "hold_at": "2026-03-02T13:00:00.000000Z", "raw_request": "IN_PROCESS", "task_name": "Transit Item", "gone": 1, "gone_since": "2026-03-02T13:00:00.000000Z", "gone_last": "2026-03-02T13:00:00.000000Z", "closure": "COMPLETED", "evidence": "the item was lent to the request''s user", "confidence": "high", "item": "AVAILABLE", "raw_base": "1", "item_at": "2026-03-02T15:00:00.000000Z", "item_since_gone": true, "back": "RETURN_TRANSIT", "barcode": "31", "loan": "COMPLETE", "raw_loan": "Complete", "raw_loan_process": "NORMAL", "loan_at": "2026-03-02T15:00:00.000000Z", "due": "2026-03-01T00:00:00+00:00", "lent": true, "closed_in": "RETURN_TRANSIT"}, "BORROWER": {"at": "2026-03-02T14:00:00.000000Z", "hold": "READY", "hold_at": "2026-03-02T12:00:00.000000Z", "raw_request": "ON_HOLD_SHELF", "gone": 1, "gone_since": "2026-03-02T12:00:00.000000Z", "gone_last": "2026-03-02T12:00:00.000000Z", "closure": "COMPLETED", "evidence": "the item was lent to the request''s user", "confidence": "high", "item": "TRANSIT", "raw_base": "0", "raw_process": "TRANSIT", "item_at": "2026-03-02T14:00:00.000000Z", "item_since_gone": true, "away": true, "loan": "COMPLETE", "raw_loan": "Complete", "raw_loan_process": "NORMAL", "loan_at": "2026-03-02T14:00:00.000000Z", "due": "2026-02-01T00:00:00+00:00", "lent": true, "proof": "RETURNED"}}}','{"borrower": {"system": "BORROWER", "user_id": "patron-1"}, "note": "for the desk"}',0,'2026-03-02 08:00:00.000000','2026-03-02 15:02:05.000000',0,'alma_airflow');
INSERT INTO "dcb_request" VALUES('PR-2','RET-STD','COMPLETED','SUPPLIED',NULL,NULL,NULL,8,12,18,12,'2026-03-02 18:00:05.000000',NULL,0,0,NULL,NULL,'["RENEWED", "RECALLED", "BORROWER_ITEM_LOST"]','[]',0,'{"status": "COMPLETED", "seq": 8, "outcome": "SUPPLIED", "flags": ["RENEWED", "RECALLED", "BORROWER_ITEM_LOST"], "rules": 3, "legs": {"SUPPLIER": {"at": "2026-03-02T18:00:00.000000Z", "hold": "CONFIRMED", "hold_at": "2026-03-02T13:00:00.000000Z", "raw_request": "IN_PROCESS", "task_name": "Transit Item", "gone": 1, "gone_since": "2026-03-02T13:00:00.000000Z", "gone_last": "2026-03-02T13:00:00.000000Z", "closure": "COMPLETED", "evidence": "the item was lent to the request''s user", "confidence": "high", "item": "AVAILABLE", "raw_base": "1", "item_at": "2026-03-02T18:00:00.000000Z", "item_since_gone": true, "back": "RETURN_TRANSIT", "barcode": "31", "loan": "COMPLETE", "raw_loan": "Complete", "raw_loan_process": "NORMAL", "loan_at": "2026-03-02T18:00:00.000000Z", "due": "2026-02-20T00:00:00+00:00", "recalled": true, "lent": true, "closed_in": "RETURN_TRANSIT"}, "BORROWER": {"at": "2026-03-02T17:00:00.000000Z", "hold": "READY", "hold_at": "2026-03-02T12:00:00.000000Z", "raw_request": "ON_HOLD_SHELF", "gone": 1, "gone_since": "2026-03-02T12:00:00.000000Z", "gone_last": "2026-03-02T12:00:00.000000Z", "closure": "COMPLETED", "evidence": "the item was lent to the request''s user", "confidence": "high", "item": "TRANSIT", "raw_base": "0", "raw_process": "TRANSIT", "item_at": "2026-03-02T17:00:00.000000Z", "item_since_gone": true, "away": true, "loan": "COMPLETE", "raw_loan": "Complete", "raw_loan_process": "NORMAL", "loan_at": "2026-03-02T17:00:00.000000Z", "due": "2026-03-15T00:00:00+00:00", "lent": true, "proof": "RETURNED"}}}','{"borrower": {"system": "BORROWER", "user_id": "patron-1"}, "note": "for the desk"}',0,'2026-03-02 08:00:00.000000','2026-03-02 18:00:05.000000',0,'alma_airflow');
INSERT INTO "dcb_request" VALUES('PR-3','RET-STD','FINALISED','CANCELLED','CANCELED','Alma told how the request was closed','high',4,4,8,4,'2026-03-02 10:02:05.000000',NULL,0,0,NULL,NULL,'[]','[]',0,'{"status": "FINALISED", "seq": 4, "outcome": "CANCELLED", "closure": "CANCELED", "evidence": "Alma told how the request was closed", "confidence": "high", "rules": 3, "legs": {"SUPPLIER": {"at": "2026-03-02T09:00:00.000000Z", "hold": "CONFIRMED", "hold_at": "2026-03-02T09:00:00.000000Z", "raw_request": "NOT_STARTED", "item": "AVAILABLE", "raw_base": "1", "item_at": "2026-03-02T09:00:00.000000Z", "barcode": "31"}, "BORROWER": {"at": "2026-03-02T10:00:00.000000Z", "hold_at": "2026-03-02T10:00:00.000000Z", "gone": 1, "gone_since": "2026-03-02T10:00:00.000000Z", "gone_last": "2026-03-02T10:00:00.000000Z", "certain": true, "told": "CANCELED", "closure": "CANCELED", "evidence": "Alma told how the request was closed", "confidence": "high", "item": "AVAILABLE", "raw_base": "1", "item_at": "2026-03-02T10:00:00.000000Z", "item_since_gone": true}}}','{"borrower": {"system": "BORROWER", "user_id": "patron-1"}, "note": "for the desk"}',0,'2026-03-02 08:00:00.000000','2026-03-02 10:02:05.000000',0,'alma_airflow');
INSERT INTO "dcb_request" VALUES('0b6f1c1e-7b1f-4f53-9d2f-3f1a5f6f0c11','RET-STD','LOANED',NULL,NULL,NULL,NULL,1,1,1,1,'2026-03-02 03:00:00.000000','2026-03-02 08:00:00.000000',0,1,NULL,NULL,'[]','[]',0,'{"status": "LOANED", "seq": 1, "adopted": "LOANED", "rules": 3, "legs": {"BORROWER": {"lent": true, "proof": "LOANED", "adopted": true}}}','{"status": {"status": "LOANED", "since": "2026-03-02T03:00:00Z", "by": "dcb_service"}, "sides": {"dcb_service": {"SUPPLIER": {"system_code": "LENDER", "system_kind": "ALMA", "barcode": "310", "user_id": "vp-1", "request_id": "4401", "mms_id": "991", "item_pid": "231"}, "BORROWER": {"system_code": "BORROWER", "system_kind": "ALMA", "user_id": "patron-1", "request_id": "4402", "mms_id": "992", "holding_id": "222", "item_pid": "232"}}}}',0,'2026-03-02 08:00:00.000000','2026-03-02 08:00:00.000000',1,'dcb_service');
CREATE TABLE dcb_transition (
	event_id TEXT NOT NULL, 
	pr_id TEXT NOT NULL, 
	seq INTEGER NOT NULL, 
	from_status TEXT NOT NULL, 
	to_status TEXT NOT NULL, 
	handler TEXT NOT NULL, 
	inferred BOOLEAN NOT NULL, 
	txn_state TEXT, 
	item_status TEXT, 
	obs_id TEXT NOT NULL, 
	actor TEXT NOT NULL, 
	occurred_at DATETIME NOT NULL, 
	recorded_at DATETIME NOT NULL, 
	CONSTRAINT pk_dcb_transition PRIMARY KEY (event_id), 
	CONSTRAINT fk_dcb_transition_obs_id_dcb_observation FOREIGN KEY(obs_id) REFERENCES dcb_observation (obs_id), 
	CONSTRAINT fk_dcb_transition_pr_id_dcb_request FOREIGN KEY(pr_id) REFERENCES dcb_request (pr_id), 
	CONSTRAINT uq_dcb_transition_pr_id_seq UNIQUE (pr_id, seq)
);
INSERT INTO "dcb_transition" VALUES('6556cf01-ed6b-5952-849a-678f6aaee2ef','PR-1',1,'REQUEST_PLACED_AT_SUPPLYING_AGENCY','CONFIRMED','HandleSupplierRequestConfirmed',0,'CREATED','AVAILABLE','c009a3a787ecda0ac4dfc1b62ee47038d38d39fd896be0a1ea843fb60ffa2f80','dag','2026-03-02 09:00:00.000000','2026-03-02 09:00:05.000000');
INSERT INTO "dcb_transition" VALUES('417b7617-1aa8-5d9f-9b5a-6c3f60428688','PR-1',2,'CONFIRMED','REQUEST_PLACED_AT_BORROWING_AGENCY','PlaceAtBorrowingAgency',0,'CREATED','AVAILABLE','a802f84252449fe91a485ba2a77b45134ab09a6227bfa46eaa1e2ea7b57fdcf2','dag','2026-03-02 09:02:00.000000','2026-03-02 09:02:05.000000');
INSERT INTO "dcb_transition" VALUES('0f941d3a-1f9c-5d31-ad32-8f59a9b736db','PR-1',3,'REQUEST_PLACED_AT_BORROWING_AGENCY','PICKUP_TRANSIT','HandleSupplierInTransit',0,'OPEN','TRANSIT','37f7bc27757677fb687111dcef7b28d656b231efa1797d84c12a2a5ac0ffac37','dag','2026-03-02 10:00:00.000000','2026-03-02 10:00:05.000000');
INSERT INTO "dcb_transition" VALUES('a88f7a2e-96c8-546e-a941-a450985002e6','PR-1',4,'PICKUP_TRANSIT','RECEIVED_AT_PICKUP','HandleBorrowerItemReceived',0,'AWAITING_PICKUP','HOLDSHELF','7a37d6030ad939727b225b80881aefd67ddd37782e414c4745bb990d1bbee0c3','dag','2026-03-02 11:00:00.000000','2026-03-02 11:00:05.000000');
INSERT INTO "dcb_transition" VALUES('01b4fb83-2a1a-5fcf-b4d1-924bb4c872bd','PR-1',5,'RECEIVED_AT_PICKUP','READY_FOR_PICKUP','HandleBorrowerItemOnHoldShelf',0,'AWAITING_PICKUP','HOLDSHELF','7a37d6030ad939727b225b80881aefd67ddd37782e414c4745bb990d1bbee0c3','dag','2026-03-02 11:00:00.000000','2026-03-02 11:00:05.000000');
INSERT INTO "dcb_transition" VALUES('267df2a3-985b-5450-8828-a1ba9969c0d9','PR-1',6,'READY_FOR_PICKUP','LOANED','HandleBorrowerItemLoaned',0,'ITEM_CHECKED_OUT','LOANED','9c3c366a161eef192fcd71e65fa1c9cc6b392060b1a22eda063acaf2a4f2d13c','dag','2026-03-02 12:00:00.000000','2026-03-02 12:00:05.000000');
INSERT INTO "dcb_transition" VALUES('37276242-c531-5a8d-a530-9dd1304e89f1','PR-1',7,'LOANED','RETURN_TRANSIT','HandleBorrowerRequestReturnTransit',0,'ITEM_CHECKED_IN','TRANSIT','2730505b9dd1eef8ac2fbe5809694004776c605dc4db3d34cc4c290f8d241dd9','dag','2026-03-02 14:00:00.000000','2026-03-02 14:00:05.000000');
INSERT INTO "dcb_transition" VALUES('2678959d-6426-557b-9233-18a8539cfc96','PR-1',8,'RETURN_TRANSIT','COMPLETED','HandleSupplierItemAvailable',0,'CLOSED','AVAILABLE','d47932ecaf602c8592bc5416a1845e677ce366321a0f02e4e0dd1933b71b4d40','dag','2026-03-02 15:00:00.000000','2026-03-02 15:00:05.000000');
INSERT INTO "dcb_transition" VALUES('73f64669-8b22-55e3-b6b3-bbc2ee7c84a3','PR-1',9,'COMPLETED','FINALISED','FinaliseRequest',0,NULL,NULL,'1b75c00e10a3fafbd1959178baf2fb86d3c4ec230c7fdbc6a167971b6a05aef5','dag','2026-03-02 15:02:00.000000','2026-03-02 15:02:05.000000');
INSERT INTO "dcb_transition" VALUES('1513d434-7856-5fa6-b957-3ea288c05ddc','PR-2',1,'REQUEST_PLACED_AT_SUPPLYING_AGENCY','CONFIRMED','HandleSupplierRequestConfirmed',0,'CREATED','AVAILABLE','aa5a392c8eeb55e315661540029437bbc0940356127b222d327dd9f192889c77','dag','2026-03-02 09:00:00.000000','2026-03-02 09:00:05.000000');
INSERT INTO "dcb_transition" VALUES('66f62588-bb4c-54bd-bfc9-c03b007ab4da','PR-2',2,'CONFIRMED','REQUEST_PLACED_AT_BORROWING_AGENCY','PlaceAtBorrowingAgency',0,'CREATED','AVAILABLE','0b119f0f05115bb033e01956b66726ea6c96dbc5f6244be6902511ca6b7cd770','dag','2026-03-02 09:02:00.000000','2026-03-02 09:02:05.000000');
INSERT INTO "dcb_transition" VALUES('ee089e71-d215-54a5-97b8-f5d5359d8a99','PR-2',3,'REQUEST_PLACED_AT_BORROWING_AGENCY','PICKUP_TRANSIT','HandleSupplierInTransit',0,'OPEN','TRANSIT','ed26db0df1cc7b04b0bdeb40936aff62d137f5f1949da20fb874d4cfe49a2bfb','dag','2026-03-02 10:00:00.000000','2026-03-02 10:00:05.000000');
INSERT INTO "dcb_transition" VALUES('0c98df3f-d54e-5ddc-8e55-efc206a3d7d5','PR-2',4,'PICKUP_TRANSIT','RECEIVED_AT_PICKUP','HandleBorrowerItemReceived',0,'AWAITING_PICKUP','HOLDSHELF','df9a0741e8dc073e120a401f1e83623e44071b528ada00233039ddf7997f203e','dag','2026-03-02 11:00:00.000000','2026-03-02 11:00:05.000000');
INSERT INTO "dcb_transition" VALUES('9c4ad40b-db9e-55e1-b5df-356ed751b6d8','PR-2',5,'RECEIVED_AT_PICKUP','READY_FOR_PICKUP','HandleBorrowerItemOnHoldShelf',0,'AWAITING_PICKUP','HOLDSHELF','df9a0741e8dc073e120a401f1e83623e44071b528ada00233039ddf7997f203e','dag','2026-03-02 11:00:00.000000','2026-03-02 11:00:05.000000');
INSERT INTO "dcb_transition" VALUES('b0a7bba8-b1f3-5405-9edc-6a581e53b7c8','PR-2',6,'READY_FOR_PICKUP','LOANED','HandleBorrowerItemLoaned',0,'ITEM_CHECKED_OUT','LOANED','2bef96077b03f92acb7e3d88f0513d44ab6d501b929c2d47c6d5945432af302c','dag','2026-03-02 12:00:00.000000','2026-03-02 12:00:05.000000');
INSERT INTO "dcb_transition" VALUES('dff566e3-435f-57b6-a254-c6e351feda09','PR-2',7,'LOANED','RETURN_TRANSIT','HandleBorrowerRequestReturnTransit',0,'ITEM_CHECKED_IN','TRANSIT','a273d70292f08a32a33383ccb91bf8259c730fe2f820942a38030c2bcd8a4e06','dag','2026-03-02 17:00:00.000000','2026-03-02 17:00:05.000000');
INSERT INTO "dcb_transition" VALUES('3ab0e380-3629-5025-91fc-8724500443a1','PR-2',8,'RETURN_TRANSIT','COMPLETED','HandleSupplierItemAvailable',0,'CLOSED','AVAILABLE','e824ee4d4f4afba291accc15fd48804c62bda3bae09aae0e25b954a625f0e09a','dag','2026-03-02 18:00:00.000000','2026-03-02 18:00:05.000000');
INSERT INTO "dcb_transition" VALUES('b70ee1ee-143c-5d79-8cad-17943e2ec13d','PR-3',1,'REQUEST_PLACED_AT_SUPPLYING_AGENCY','CONFIRMED','HandleSupplierRequestConfirmed',0,'CREATED','AVAILABLE','0e9508b5db7bf97e009a03da15125e85eec332d08958e726dc8f1d1ab065c76d','dag','2026-03-02 09:00:00.000000','2026-03-02 09:00:05.000000');
INSERT INTO "dcb_transition" VALUES('5599274d-96a1-53d0-82fa-331ac71b308a','PR-3',2,'CONFIRMED','REQUEST_PLACED_AT_BORROWING_AGENCY','PlaceAtBorrowingAgency',0,'CREATED','AVAILABLE','4952b4a0e8fff9ca56d6f92c5b3997bf776293e4bdf5d3f02a77d6499bd900e7','dag','2026-03-02 09:02:00.000000','2026-03-02 09:02:05.000000');
INSERT INTO "dcb_transition" VALUES('4211c46d-5348-5291-b1c1-142a20da15fe','PR-3',3,'REQUEST_PLACED_AT_BORROWING_AGENCY','CANCELLED','CancelledPatronRequestTransition',0,'CANCELLED',NULL,'dad9220f28a272b0300271c1e1f9a32c574dc5527e62e8dfd0b20dc9c3b93c91','dag','2026-03-02 10:00:00.000000','2026-03-02 10:00:05.000000');
INSERT INTO "dcb_transition" VALUES('74132b71-9e96-5722-950d-62468d36ba14','PR-3',4,'CANCELLED','FINALISED','FinaliseRequest',0,NULL,NULL,'be196a025de3a89b91f49c37d5db48885ebcec3388b2f246d1882de17556c942','dag','2026-03-02 10:02:00.000000','2026-03-02 10:02:05.000000');
INSERT INTO "dcb_transition" VALUES('0029a815-2f05-5022-babf-73ab25be2208','0b6f1c1e-7b1f-4f53-9d2f-3f1a5f6f0c11',1,'REQUEST_PLACED_AT_SUPPLYING_AGENCY','LOANED','Adopted',1,'ITEM_CHECKED_OUT','LOANED','87b1044940c27c6cc93cec7f1ab03b04bcded05edbd712d93f6d492d9db0d02f','adopt:dcb_service','2026-03-02 03:00:00.000000','2026-03-02 08:00:00.000000');
CREATE TABLE dropped_file (
	"key" TEXT NOT NULL, 
	version TEXT NOT NULL, 
	sha256 TEXT NOT NULL, 
	size BIGINT NOT NULL, 
	area TEXT NOT NULL, 
	profile TEXT NOT NULL, 
	uploaded_by TEXT NOT NULL, 
	corrects TEXT NOT NULL, 
	arrived_at DATETIME NOT NULL, 
	state TEXT NOT NULL, 
	state_at DATETIME NOT NULL, 
	dag_id TEXT NOT NULL, 
	run_id TEXT NOT NULL, 
	filed_key TEXT NOT NULL, 
	CONSTRAINT pk_dropped_file PRIMARY KEY ("key", version), 
	CONSTRAINT ck_dropped_file_state CHECK (state IN ('arrived', 'started', 'done', 'failed', 'superseded', 'ignored'))
);
INSERT INTO "dropped_file" VALUES('items/incoming/main/list.csv','e1@2026-03-02T08:00:00+00:00','',90,'items','main','','','2026-03-02 08:00:00.000000','done','2026-03-02 08:00:00.000000','item_creation','r1','items/done/list.r1.csv');
CREATE TABLE "due_inventory" (
	alma TEXT NOT NULL, 
	mms_id TEXT NOT NULL, 
	item TEXT DEFAULT '' NOT NULL, 
	sender TEXT DEFAULT '' NOT NULL, 
	CONSTRAINT pk_due_inventory PRIMARY KEY (alma, mms_id, item, sender)
);
INSERT INTO "due_inventory" VALUES('api-na.hosted.exlibrisgroup.com/01ABC_INST','991','B-1','run-1 record 1');
CREATE TABLE item_keys (
	alma TEXT NOT NULL, 
	"key" TEXT NOT NULL, 
	mms_id TEXT NOT NULL, 
	item_pid TEXT NOT NULL, 
	CONSTRAINT pk_item_keys PRIMARY KEY (alma, "key")
);
INSERT INTO "item_keys" VALUES('api-na.hosted.exlibrisgroup.com/01ABC_INST','z30:000051077-000010','991','231');
CREATE TABLE job_run (
	dag_id TEXT NOT NULL, 
	run_id TEXT NOT NULL, 
	job TEXT NOT NULL, 
	institution TEXT NOT NULL, 
	subject TEXT NOT NULL, 
	dry_run BOOLEAN NOT NULL, 
	requested_by TEXT NOT NULL, 
	started_at DATETIME NOT NULL, 
	ended_at DATETIME, 
	state TEXT NOT NULL, 
	headline TEXT NOT NULL, 
	counts JSON NOT NULL, 
	measures JSON NOT NULL, 
	calls JSON NOT NULL, 
	attention JSON NOT NULL, 
	artefacts JSON NOT NULL, 
	decision JSON, 
	attempts INTEGER NOT NULL, 
	written INTEGER NOT NULL, 
	CONSTRAINT pk_job_run PRIMARY KEY (dag_id, run_id), 
	CONSTRAINT ck_job_run_state CHECK (state IN ('running', 'waiting', 'done', 'failed', 'superseded'))
);
INSERT INTO "job_run" VALUES('item_creation','r1','item_creation','api-na.hosted.exlibrisgroup.com/01ABC_INST','items/incoming/main/list.csv',0,'','2026-03-02 08:00:00.000000','2026-03-02 08:00:00.000000','done','1 of 2 rows loaded.','{"created": 1, "failed": 1}','{"rows": 2}','{"alma_default": 7}','[]','[{"role": "report", "key": "items/reports/list.r1.html", "name": "list.r1.html", "size": 5, "type": "text/html"}]','{"who": "librarian", "when": "2026-03-02T08:00:00+00:00", "what": "load"}',1,1);
INSERT INTO "job_run" VALUES('west_holdings','r2','west_holdings','api-na.hosted.exlibrisgroup.com/01ABC_INST','59000000000004401',0,'','2026-03-02 08:00:00.000000','2026-03-02 08:00:00.000000','failed','The set is empty.','{}','{}','{}','[{"what": "The set is empty.", "what_to_do": "Name another."}]','[]',NULL,1,1);
CREATE TABLE "loaded_bibs" (
	alma TEXT NOT NULL, 
	"key" TEXT NOT NULL, 
	mms_id TEXT NOT NULL, 
	sender TEXT NOT NULL, 
	sent_at DATETIME NOT NULL, 
	CONSTRAINT pk_loaded_bibs PRIMARY KEY (alma, "key", mms_id)
);
INSERT INTO "loaded_bibs" VALUES('api-na.hosted.exlibrisgroup.com/01ABC_INST','oclc:700','991','run-1 line 1','2026-03-02 08:00:00.000000');
INSERT INTO "loaded_bibs" VALUES('api-na.hosted.exlibrisgroup.com/01ABC_INST','oclc:900','991','run-1 line 1','2026-03-02 08:00:00.000000');
INSERT INTO "loaded_bibs" VALUES('api-na.hosted.exlibrisgroup.com/01ABC_INST','oclc:901','','run-1 line 2','2026-03-02 08:00:00.000000');
INSERT INTO "loaded_bibs" VALUES('api-na.hosted.exlibrisgroup.com/01ABC_INST','isbn:1','991','run-1 line 1','2026-03-02 08:00:00.000000');
INSERT INTO "loaded_bibs" VALUES('api-na.hosted.exlibrisgroup.com/01ABC_INST','isbn:1','992','run-1 line 1','2026-03-02 08:00:00.000000');
CREATE TABLE loaded_items (
	alma TEXT NOT NULL, 
	barcode TEXT NOT NULL, 
	mms_id TEXT NOT NULL, 
	holding_id TEXT NOT NULL, 
	item_pid TEXT NOT NULL, 
	run_id TEXT NOT NULL, 
	CONSTRAINT pk_loaded_items PRIMARY KEY (alma, barcode)
);
INSERT INTO "loaded_items" VALUES('api-na.hosted.exlibrisgroup.com/01ABC_INST','B-1','991','221','231','run-1');
INSERT INTO "loaded_items" VALUES('api-na.hosted.exlibrisgroup.com/01ABC_INST','B-2','991','221','232','run-2');
CREATE TABLE loaded_orders (
	alma TEXT NOT NULL, 
	vendor TEXT NOT NULL, 
	reference TEXT NOT NULL, 
	po_line TEXT NOT NULL, 
	mms_id TEXT NOT NULL, 
	sender TEXT NOT NULL, 
	sent_at DATETIME NOT NULL, 
	CONSTRAINT pk_loaded_orders PRIMARY KEY (alma, vendor, reference)
);
INSERT INTO "loaded_orders" VALUES('api-na.hosted.exlibrisgroup.com/01ABC_INST','GOBI','90000000001','POL-1','991','run-1 record 1','2026-03-02 08:00:00.000000');
INSERT INTO "loaded_orders" VALUES('api-na.hosted.exlibrisgroup.com/01ABC_INST','GOBI','90000000002','','992','run-1 record 2','2026-03-02 08:00:00.000000');
CREATE TABLE made_holdings (
	alma TEXT NOT NULL, 
	mms_id TEXT NOT NULL, 
	library TEXT NOT NULL, 
	location TEXT NOT NULL, 
	holding_id TEXT NOT NULL, 
	sender TEXT NOT NULL, 
	CONSTRAINT pk_made_holdings PRIMARY KEY (alma, mms_id, library, location)
);
INSERT INTO "made_holdings" VALUES('api-na.hosted.exlibrisgroup.com/01ABC_INST','991','MAIN','stacks','221','run-1');
INSERT INTO "made_holdings" VALUES('api-na.hosted.exlibrisgroup.com/01ABC_INST','992','MAIN','stacks','','run-1');
CREATE TABLE run_record (
	dag_id TEXT NOT NULL, 
	run_id TEXT NOT NULL, 
	ord INTEGER NOT NULL, 
	symbol TEXT NOT NULL, 
	line INTEGER, 
	mms_id TEXT NOT NULL, 
	holding_id TEXT NOT NULL, 
	item_pid TEXT NOT NULL, 
	barcode TEXT NOT NULL, 
	label TEXT NOT NULL, 
	outcome TEXT NOT NULL, 
	reasons TEXT NOT NULL, 
	message TEXT NOT NULL, 
	CONSTRAINT pk_run_record PRIMARY KEY (dag_id, run_id, ord)
);
INSERT INTO "run_record" VALUES('item_creation','r1',1,'',1,'991','','','B-1','','created','','');
INSERT INTO "run_record" VALUES('item_creation','r1',2,'',2,'','','','','','failed','','no answer');
CREATE TABLE waiting_titles (
	alma TEXT NOT NULL, 
	mms_id TEXT NOT NULL, 
	title TEXT NOT NULL, 
	"key" TEXT NOT NULL, 
	since DATETIME NOT NULL, 
	run_id TEXT NOT NULL, 
	received_at DATETIME, 
	settled_at DATETIME, 
	settled_how TEXT NOT NULL, 
	settled_by TEXT NOT NULL, 
	CONSTRAINT pk_waiting_titles PRIMARY KEY (alma, mms_id)
);
INSERT INTO "waiting_titles" VALUES('api-na.hosted.exlibrisgroup.com/01ABC_INST','991','A title','9780000000002','2026-03-02 08:00:00.000000','run-1','2026-03-02 08:00:00.000000',NULL,'','');
INSERT INTO "waiting_titles" VALUES('api-na.hosted.exlibrisgroup.com/01ABC_INST','992','A title','9780000000002','2026-03-02 08:00:00.000000','run-1',NULL,'2026-12-01 11:18:55.079157','merged','run-2');
CREATE INDEX ix_dcb_alert_open ON dcb_alert (closed_at, code);
CREATE INDEX ix_dcb_hint_handled ON dcb_hint (handled_at);
CREATE INDEX ix_dcb_request_due ON dcb_request (next_poll_at);
CREATE INDEX ix_dcb_request_status ON dcb_request (status, status_since);
CREATE INDEX ix_dcb_leg_item ON dcb_leg (system_code, item_pid);
CREATE INDEX ix_dcb_leg_user ON dcb_leg (system_code, user_id);
CREATE INDEX ix_dcb_observation_age ON dcb_observation (recorded_at);
CREATE INDEX ix_dcb_observation_pr ON dcb_observation (pr_id, step, ord);
CREATE INDEX ix_dcb_outbox_due ON dcb_outbox (state, kind, next_attempt_at);
CREATE INDEX ix_dcb_transition_obs ON dcb_transition (obs_id);
CREATE UNIQUE INDEX ix_dcb_leg_request ON dcb_leg (system_code, request_id) WHERE is_open;
CREATE INDEX ix_job_run_job ON job_run (job, started_at);
CREATE INDEX ix_job_run_subject ON job_run (job, subject, started_at);
CREATE INDEX ix_job_run_state ON job_run (state, started_at);
CREATE INDEX ix_dropped_file_arrived ON dropped_file (arrived_at);
CREATE INDEX ix_dropped_file_area ON dropped_file (area, arrived_at);
CREATE INDEX ix_dropped_file_state ON dropped_file (state, arrived_at);
CREATE INDEX ix_dropped_file_run ON dropped_file (dag_id, run_id);
CREATE INDEX ix_run_record_outcome ON run_record (dag_id, run_id, outcome, symbol, ord);
CREATE INDEX ix_api_use_hour ON api_use (hour);
CREATE INDEX ix_loaded_orders_sender ON loaded_orders (alma, sender);
CREATE INDEX ix_waiting_titles_since ON waiting_titles (settled_at, since);
CREATE INDEX ix_loaded_orders_mms_id ON loaded_orders (alma, mms_id);
COMMIT;
