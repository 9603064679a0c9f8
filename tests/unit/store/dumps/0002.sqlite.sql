BEGIN TRANSACTION;
CREATE TABLE alma_etl_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alma_etl_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alma_etl_version" VALUES('0002');
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
	refused BIGINT NOT NULL, 
	CONSTRAINT pk_api_budget PRIMARY KEY (name)
);
INSERT INTO "api_budget" VALUES('api-na.hosted.exlibrisgroup.com/01ABC_INST',1.79598376574199199671e+09,1.79598376674199199671e+09,5.15463917525773238081e-02,1,20.0,1.79598376573800897599e+09,0.7,1.79598376674199199671e+09,0.0,'',90000,1.79598376573998022077e+09,20786,5,1);
INSERT INTO "api_budget" VALUES('second Alma',1.79598376575599312779e+09,0.0,1.0,1,0.0,0.0,1.0,0.0,32503680000.0,'the daily threshold is reached',NULL,0.0,20786,0,0);
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
COMMIT;
